/** Reported: a process of somebody else takes the NF core, which still counts as spare: calls wait there for a minute. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { endProcess, spawnTied } from '../../src/linux/tied-process.js';
import type { FeedCore } from '../../src/model/feed.js';
import { NF_CORE, startServer, startSpinner } from '../support/control-setup.js';
import { RealAgent } from '../support/real-agent.js';

const BUSY = `export default () => { const until = performance.now() + 5; while (performance.now() < until); return 'ok'; };`;

describe('report: others on a function core', function () {
  this.timeout(120_000);
  let agent: RealAgent;
  let spinner: ChildProcess | undefined;
  let server: ChildProcess | undefined;

  async function start(
    nfs: NonNullable<ConstructorParameters<typeof RealAgent>[0]>['nfs'] = [],
  ): Promise<void> {
    agent = await new RealAgent({ nfs, cores: { functions: [NF_CORE], housekeeping: [0] } }).start();
    await agent.deploy('busy', BUSY);
  }
  afterEach(async () => {
    spinner?.kill('SIGKILL');
    await agent.close();
    if (server !== undefined) await endProcess(server);
    spinner = server = undefined;
  });
  const coreOf = (cores: FeedCore[]) => cores.find(({ core }) => core === NF_CORE)!;

  for (const beside of [false, true]) {
    it(`${beside ? 'beside an NF ' : ''}take it: it is left, it is said who they are, and calls are answered elsewhere`, async () => {
      if (beside) {
        server = await startServer('response.end();');
        await start([{ profile: 'nginx', pid: server.pid! }]);
      } else await start();
      expect((await agent.call('busy')).body).to.equal('ok');
      spinner = await startSpinner();
      const frame = await agent.until(
        ({ cores }) => coreOf(cores).takenBy?.includes(`(pid ${spinner!.pid})`) === true,
      );
      const core = coreOf(frame.cores);
      expect(core.role).to.equal(beside ? 'nf' : 'taken');
      expect(core.predictedSpareRatio).to.be.below(0.2);
      await agent.untilEvent(({ message }) => message.includes(`(pid ${spinner!.pid})`));
      const replies = await Promise.all(Array.from({ length: 20 }, () => agent.call('busy')));
      expect(replies.map(({ status }) => status)).to.deep.equal(replies.map(() => 200));
      const { functions } = await agent.status();
      expect(functions[0]!.sandboxes.map((sandbox) => sandbox.core)).to.not.include(NF_CORE);

      const { pid } = spinner;
      spinner.kill('SIGKILL');
      await agent.until(({ cores }) => coreOf(cores).takenBy?.includes(`(pid ${pid})`) !== true);
    });
  }

  it('polling under a name that no profile knows make no free core', async () => {
    // What testpmd did before DPDK 20.11: one thread, always running, and no profile then knew its name.
    const loop = 'const name = process.argv[1]; process.title = name; console.log(name); for (;;);';
    const poller = spawnTied(
      '/usr/bin/taskset',
      ['-c', `${NF_CORE}`, process.execPath, '-e', loop, 'lcore-slave-1'],
      {
        stdio: ['ignore', 'pipe', 'ignore'],
      },
    );
    spinner = poller;
    await once(poller.stdout!, 'data');
    await start();
    const { cores } = await agent.until((frame) => coreOf(frame.cores).role !== 'free');
    expect(coreOf(cores).role).to.equal('taken');
  });
});
