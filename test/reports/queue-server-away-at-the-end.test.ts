import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createTestbed } from '../../src/lab/testbed.js';
import { getScheduling } from '../../src/linux/sched.js';
import { RedisStreamSource } from '../../src/triggers/redis-stream.js';
import { startBox } from '../gateway/in-process-platform.js';
import { freePort, startRedis } from '../store/redis-server.js';
import { RealAgent } from '../support/real-agent.js';
import { until } from '../support/waiting.js';

/** With a queue's Redis down an agent never stopped, and so never gave NFs back. */
describe('an agent whose queue server is away', function () {
  this.timeout(60_000);

  it('ends its queue, whose server went while it was read', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'nemo-queue-'));
    const server = await startRedis(directory);
    const box = await startBox();
    await box.serve('work', () => undefined);
    const config = { url: server.url, stream: 'jobs', function: 'work' };
    const source = new RedisStreamSource(config, 'test', box.platform);
    await server.stop('SIGKILL');
    await until(() => box.platform.events.since(0, 9).some(({ message }) => /cannot be read/.test(message)));
    expect(await source.close()).to.equal(undefined);
    await box.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const configWithQueue = async () => ({
    cores: { functions: [1], housekeeping: [0] },
    nfs: [{ profile: 'firewall', match: { args: '^nemo-nf-firewall( |$)' } }],
    queues: [{ url: `redis://127.0.0.1:${await freePort()}`, stream: 'jobs', function: 'work' }],
  });

  it('stops when it is asked to, and gives the NF back; at once when it is asked twice', async () => {
    const bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: 1, housekeepingCpu: 0 });
    const agent = new RealAgent(await configWithQueue());
    const started = async (): Promise<void> => {
      await agent.start();
      await agent.deploy('work', 'export default () => new Promise(() => undefined);');
      await agent.untilEvent(({ kind }) => kind === 'nf-protected');
      await agent.untilEvent(({ message }) => /cannot be read/.test(message));
    };
    try {
      await started();
      expect(await agent.end('SIGTERM')).to.equal(0);
      expect(getScheduling(bed.nfPid).policy).to.equal('other');

      await started();
      // It waits for this call.
      const called = agent.call('work').catch(() => undefined);
      await agent.until(({ functions }) => functions[0]!.inFlight === 1);
      const ended = agent.end('SIGTERM');
      await until(() => !waitsForInterrupt(agent.pid));
      await agent.interrupt();
      expect(await ended).to.equal(null);
      await called;
      await until(() => getScheduling(bed.nfPid).policy === 'other');
    } finally {
      await agent.close();
      await bed.close();
    }
  });
});

function waitsForInterrupt(pid: number): boolean {
  const caught = /^SigCgt:\s*(\w+)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))![1]!;
  return (BigInt(`0x${caught}`) & 2n) !== 0n;
}
