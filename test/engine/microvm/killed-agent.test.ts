import { cpSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { MicrovmBench } from '../../support/microvm-bench.js';
import { RealAgent } from '../../support/real-agent.js';
import { testKernel } from '../../support/test-kernel.js';
import { isGone, until } from '../../support/waiting.js';

/** Its load is worth a snapshot at once. */
const SLOW = `console.log('loading');
  const end = Date.now() + 2_200; while (Date.now() < end);
  export default () => process.env.COLOUR;`;

describe('an agent with virtual machines', function () {
  this.timeout(180_000);
  let agent: RealAgent;
  const snapshots = () => join(agent.folder, 'state', 'microvm', 'snapshots');
  const deploy = async (name: string, code: string, options = {}): Promise<void> => {
    expect((await agent.deploy(name, code, { engine: 'microvm', ...options })).ok).to.equal(true);
  };
  before(async () => {
    const kernel = await testKernel();
    const bench = new MicrovmBench(kernel);
    const engine = bench.engine();
    await (await bench.start(engine)).kill();
    await engine.close();
    await bench.close();
    agent = new RealAgent({
      microvm: { accelerator: 'tcg', kernel },
      pool: { stems: 0, warmPerFunction: 0, keepAlive: '200ms' },
    });
    cpSync(bench.stateDir, join(agent.folder, 'state', 'microvm'), { recursive: true });
    await agent.start();
  });
  after(() => agent.close());

  it('ends a call that never returns, and serves the next', async () => {
    await deploy('hang', 'export default (event) => { while (event === "hang"); return "answered"; }', {
      timeout: 3_000,
    });
    const { status, code } = await agent.call('hang', 'hang');
    expect([status, code]).to.deep.equal([504, 'FUNCTION_TIMEOUT']);
    expect((await agent.call('hang', 'go on')).body).to.equal('answered');
  });

  it('starts a function from its snapshot, which goes with the function', async () => {
    await deploy('slow', SLOW, { env: { COLOUR: 'red' } });
    expect((await agent.call('slow')).body).to.equal('red');
    await agent.untilEvent(({ message }) => /^a snapshot of the loaded function slow was made/.test(message));
    await until(() => agent.members().length === 0);
    expect((await agent.call('slow')).body).to.equal('red');
    expect((await agent.logs('slow')).filter((text) => text === 'loading')).to.have.length(1);
    await agent.fetch('/v1/functions/slow', { method: 'DELETE' });
    await until(() => !readdirSync(snapshots()).includes('function-slow'));
  });

  it('leaves no machine behind when it is killed, and the next one clears the rest', async () => {
    const late = agent.call('hang', 'hang').catch(() => undefined);
    await until(() => agent.members().length > 2);
    const members = agent.members();
    await agent.end('SIGKILL');
    await late;
    await until(() => members.every(isGone));
    await agent.start();
    expect(agent.members()).to.deep.equal([]);
    expect((await agent.call('hang', 'go on')).body).to.equal('answered');
  });
});
