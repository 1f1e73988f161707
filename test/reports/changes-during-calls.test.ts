/**
 * Reported: openfaas/faas#686 and knative/serving#12569 (calls fail while a function is replaced), openfaas/faas#811
 * (what was removed goes on in the metrics), moby/moby#37182 (each container that is made and removed leaves descriptors
 * behind), denoland/deploy_feedback#429 and google-github-actions/deploy-cloud-functions#229 (values of the environment
 * with newlines and =), hanazuki/node-jsonnet#458 (a key `__proto__` is lost without a word).
 */

import { readdirSync } from 'node:fs';
import { expect } from 'chai';
import { nemo, RealAgent } from '../support/real-agent.js';

describe('report: functions that are changed while they are called', function () {
  this.timeout(60_000);
  const agent = new RealAgent({ policy: 'naive' });
  before(() => agent.start());
  after(() => agent.close());

  const version = (number: number) => `export default async () => {
    await new Promise((resolve) => setTimeout(resolve, 5));
    return 'v${number}';
  };`;

  it('no call fails, and none that comes later gets the old version', async () => {
    await agent.deploy('changed', version(0), { concurrency: 4 });
    let newest = 0;
    const wrong: string[] = [];
    const caller = async (): Promise<void> => {
      while (newest < 3) {
        const from = newest;
        const { status, body } = await agent.call('changed');
        if (status !== 200 || Number(body.slice(1)) < from) wrong.push(`${status} ${body} after v${from}`);
      }
    };
    const callers = Array.from({ length: 4 }, caller);
    for (let next = 1; next <= 3; next++) {
      expect((await agent.deploy('changed', version(next), { concurrency: 4 })).status).to.equal(200);
      newest = next;
      expect((await agent.call('changed')).body).to.equal(`v${next}`);
    }
    await Promise.all(callers);
    expect(wrong).to.deep.equal([]);
  });

  it('one that is removed ends what runs, and leaves nothing behind', async () => {
    const descriptors = () => readdirSync(`/proc/${agent.pid}/fd`).length;
    const cycle = async (code: string): Promise<void> => {
      await agent.deploy('gone', code);
      const called = agent.call('gone');
      await agent.until(({ functions }) =>
        functions.some(({ name, inFlight }) => name === 'gone' && inFlight === 1),
      );
      expect((await agent.fetch('/v1/functions/gone', { method: 'DELETE' })).status).to.equal(204);
      expect((await called).body).to.equal('v1');
      await agent.until(({ functions }) => !functions.some(({ name }) => name === 'gone'));
    };
    const code = version(1).replace('5)', '200)');
    await cycle(code);
    const before = descriptors();
    for (let i = 0; i < 5; i++) await cycle(code);
    // A sandbox has more than three.
    expect(descriptors()).to.be.below(before + 3 * 5);
    const metrics = await (await agent.fetch('/metrics')).text();
    expect(metrics).to.contain('"changed"').and.not.contain('"gone"');
  });

  it('values of the environment come as they are', async () => {
    const values = { EQUALS: 'a=b==', LINES: 'one\ntwo\n', QUOTED: `"' $(x) \\`, EMPTY: '' };
    const code =
      'export default () => Object.fromEntries(["EQUALS", "LINES", "QUOTED", "EMPTY"].map((name) => [name, process.env[name]]));';
    await agent.deploy('told', code, { env: values });
    expect(JSON.parse((await agent.call('told')).body)).to.deep.equal(values);
    const given = Object.entries(values).flatMap(([name, value]) => ['--env', `${name}=${value}`]);
    const { code: exit, err } = await nemo(['deploy', 'samples/hello.ts', ...given, '--agent', agent.url]);
    expect(exit, err).to.equal(0);
  });

  it('a name that objects keep for themselves is refused, and not lost', async () => {
    const reply = await agent.fetch('/v1/functions/named', {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: '{"code": "export default () => 1;", "env": {"__proto__": "x"}}',
    });
    expect([reply.status, await reply.text()].join(' ')).to.match(/^400 .*'__proto__' cannot name/);
  });
});
