import { expect } from 'chai';
import { RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

/** What a call left behind broke its sandbox after the answer: the next, innocent call got 500 or 502. */
describe('an error after the answer', function () {
  this.timeout(60_000);
  const CALLS = 3;
  const LATE = /Error: late|ended with (exit code|signal)|more memory than its limit/;
  const agent = new RealAgent({ policy: 'naive' });
  before(() => agent.start());
  after(() => agent.close());

  const SLEEP = 'const sleep = (ms) => new Promise((done) => setTimeout(done, ms));\n';
  /** The next call runs when the error comes, or came too late for this sandbox. */
  const KINDS: Record<string, string> = {
    rejection: `${SLEEP}export default async () => { await sleep(6); setTimeout(() => Promise.reject(new Error('late')), 3); return 'ok'; }`,
    exception: `${SLEEP}export default async () => { await sleep(6); setTimeout(() => { throw new Error('late'); }, 3); return 'ok'; }`,
    exit: `export default () => { setImmediate(() => process.exit(3)); return 'ok'; }`,
    'exit after work': `export default () => { setImmediate(() => { const until = Date.now() + 30; while (Date.now() < until); process.exit(3); }); return 'ok'; }`,
    signal: `export default () => { setImmediate(() => { const until = Date.now() + 30; while (Date.now() < until); process.kill(process.pid, 'SIGKILL'); }); return 'ok'; }`,
    memory: `export default () => { setImmediate(() => { const held = []; for (;;) held.push(new Array(1e6).fill(held.length)); }); return 'ok'; }`,
  };
  const OF_ENGINES: Record<string, string[]> = {
    process: ['exception', 'exit after work', 'signal', 'memory'],
    isolate: ['rejection', 'exit'],
  };

  for (const [engine, kinds] of Object.entries(OF_ENGINES)) {
    for (const kind of kinds) {
      it(`fails no other call: ${kind} (${engine})`, async () => {
        const name = `late-${kind.replaceAll(' ', '-')}-${engine}`;
        expect((await agent.deploy(name, KINDS[kind]!, { engine })).status).to.be.lessThan(300);
        const answers: string[] = [];
        for (let i = 0; i < CALLS; i++) {
          const { status, code, body } = await agent.call(name);
          answers.push(status === 200 ? body : `${status} ${code} ${body}`);
        }
        expect(answers).to.deep.equal(Array(CALLS).fill('ok'));
        await until(async () => LATE.test((await agent.logs(name)).join('\n')));
      });
    }
  }
});
