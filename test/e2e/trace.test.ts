import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { CallTrace } from '../../src/model/call-trace.js';
import { nemo, RealAgent } from '../support/real-agent.js';

describe("a call's time line", function () {
  this.timeout(60_000);

  it('is shown by nemo trace and sent to a collector; a removed function leaves none', async () => {
    const sent: string[] = [];
    const collector = createServer((request, response) => {
      let body = '';
      request
        .on('data', (text) => (body += text))
        .on('end', () => {
          sent.push(body);
          response.end('{}');
        });
    }).listen(0, '127.0.0.1');
    await once(collector, 'listening');
    const { port } = collector.address() as AddressInfo;
    const agent = await new RealAgent({
      policy: 'naive',
      telemetry: { otlp: { url: `http://127.0.0.1:${port}/v1/traces`, sampleRatio: 1 } },
    }).start();
    try {
      await agent.deploy(
        'spin',
        'export default () => { const t = Date.now(); while (Date.now() - t < 30); }',
      );
      await agent.deploy('touch', 'export default () => Buffer.alloc(32 << 20, 1).length');
      await agent.deploy('thread', 'export default () => 1', { engine: 'isolate' });
      await agent.deploy('bad', 'export default () => { throw new Error("no"); }');
      for (let i = 0; i < 3; i++) await agent.call('spin');
      for (const name of ['bad', 'touch', 'thread']) await agent.call(name);
      const at = ['--agent', agent.url];
      const json = await nemo(['trace', 'spin', '--last', '2', '--json', ...at]);
      const { traces } = JSON.parse(json.out) as { traces: CallTrace[] };
      expect(traces).to.have.length(2);
      for (const trace of traces) {
        expect(trace).to.include({ functionName: 'spin', error: null });
        expect(trace.runMs).to.be.at.least(29);
      }
      const first = JSON.parse((await nemo(['trace', 'spin', '-n', '9', '--json', ...at])).out).traces.at(-1);
      expect(first.cpuMs).to.be.greaterThan(0);
      expect(first.memoryBytes).to.be.greaterThan(1e6);
      const only = async (name: string): Promise<CallTrace> =>
        JSON.parse((await nemo(['trace', name, '--json', ...at])).out).traces[0];
      expect((await only('touch')).faults).to.be.greaterThan(0);
      const thread = await only('thread');
      expect(thread.memoryBytes).to.be.greaterThan(1e5);
      expect(thread.faults).to.equal(null);
      const text = await nemo(['trace', 'bad', ...at]);
      expect(text.out).to.match(/FUNCTION_ERROR +\|[.+#>-]+/);
      expect((await nemo(['trace', 'none', ...at])).err).to.contain('NOT_FOUND');

      await agent.fetch('/v1/functions/bad', { method: 'DELETE' });
      await agent.deploy('bad', 'export default () => 1');
      expect((await nemo(['trace', 'bad', ...at])).out).to.contain('no calls of "bad" yet');
    } finally {
      await agent.close();
      collector.close();
    }
    expect(sent.join('')).to.contain('invoke spin').and.to.contain('invoke bad');
  });
});
