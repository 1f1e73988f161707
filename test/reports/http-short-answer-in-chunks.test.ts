/** Report: a short answer of known length is sent in chunks. */

import { performance } from 'node:perf_hooks';
import { expect } from 'chai';
import { ask } from '../gateway/http-client.js';
import { startBox } from '../gateway/in-process-platform.js';
import { SandboxBench } from '../support/sandboxes.js';

const CODE = `export default async (event) => {
  switch (event) {
    case 'response': return new Response('short');
    case 'json': return Response.json({ a: 1 });
    case 'long': return new Response('x'.repeat(100_000));
    case 'iterable': return (async function* () { yield 'short'; })();
    case 'value': return { a: 1 };
    default: return event;
  }
};`;

describe('report: answers of known length', function () {
  this.timeout(20_000);
  for (const kind of ['process', 'isolate']) {
    it(`have it, from a function of the ${kind} engine`, async () => {
      const bench = new SandboxBench(kind);
      const sandbox = await bench.run(CODE);
      const box = await startBox();
      await box.serve('answers', (call, sink, timeline) => {
        sandbox.invoke(call, performance.now() + 10_000, {
          onHead: (status, headers) => sink.onHead(status, headers),
          onChunk: (chunk, sent) => sink.onChunk(chunk, sent),
          onEnd: () => sink.onEnd(timeline),
          onError: (error) => sink.onError(error, undefined),
        });
      });
      for (const [event, length] of Object.entries({
        ...{ response: '5', json: '7', long: '100000', iterable: '5', value: '7', text: '4' },
      })) {
        const answer = await ask(`${box.gateway.url}/function/answers`, {
          ...{ method: 'POST', headers: { 'content-type': 'text/plain' }, body: event },
        });
        expect(answer.status, answer.body.toString()).to.equal(200);
        expect(answer.headers['content-length'], event).to.equal(length);
        expect(answer.headers['transfer-encoding'], event).to.equal(undefined);
        // One write of the sandbox, and so one of the agent.
        if (Number(length) < 10) expect(answer.headers['x-duration-seconds'], event).to.be.a('string');
      }
      await box.close();
      await sandbox.kill();
      await bench.close();
    });
  }
});
