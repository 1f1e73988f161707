import { expect } from 'chai';
import { AgentProcess } from '../../src/lab/agent-process.js';

describe('memory for sandboxes, through the gateway', () => {
  let agent: AgentProcess;
  before(async function () {
    this.timeout(60_000);
    agent = await AgentProcess.start({
      policy: 'naive',
      discovery: false,
      pool: { prewarm: 'none', keepAlive: 'lru', memory: '128Mi' },
    });
  });
  after(() => agent?.stop());

  it('answers 503 with Retry-After while all memory is in use, and makes room when it is not', async () => {
    const held = `export default async () => { await new Promise((done) => setTimeout(done, 2000)); return 'a'; };`;
    await agent.deploy('a', held, { memory: '128Mi' });
    await agent.deploy('b', `export default () => 'b';`, { memory: '128Mi' });
    const running = fetch(`${agent.url}/function/a`);
    // Once it shows as a sandbox, its memory is taken.
    expect(
      await agent.until((frame) => frame.functions.some((fn) => fn.sandboxes.length > 0), 30_000),
    ).to.equal(true);
    const refused = await fetch(`${agent.url}/function/b`);
    expect(refused.status).to.equal(503);
    expect(refused.headers.get('x-nemo-error')).to.equal('NO_CAPACITY');
    expect(Number(refused.headers.get('retry-after'))).to.be.within(1, 60);
    await refused.arrayBuffer();
    expect((await running).status).to.equal(200);
    const taken = await fetch(`${agent.url}/function/b`);
    expect([taken.status, await taken.text()]).to.deep.equal([200, 'b']);
  });
});
