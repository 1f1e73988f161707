import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { startTicks } from '../../../src/linux/process.js';
import { endProcess, spawnTied } from '../../../src/linux/tied-process.js';
import type { NemoError } from '../../../src/model/errors.js';
import { DpdkTelemetry } from '../../../src/nf/telemetry/dpdk.js';
import { startTelemetry, type Telemetry } from '../../../src/nf/telemetry/telemetry.js';
import { until } from '../../support/waiting.js';

const PROGRAM = fileURLToPath(new URL('../programs/telemetry-socket.js', import.meta.url));

describe('telemetry of DPDK', () => {
  let folder: string;
  let path: string;
  let server: ChildProcess;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-telemetry-'));
    path = join(folder, 'rte', 'dpdk_telemetry.v2');
    mkdirSync(join(folder, 'rte'));
  });
  afterEach(async () => {
    await endProcess(server);
    rmSync(folder, { recursive: true });
  });

  async function serve(manner: string): Promise<number> {
    server = spawnTied(process.execPath, [PROGRAM, path, manner], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(server.stdout!, 'data');
    return server.pid!;
  }

  it('finds the socket of the process, and adds up its ports', async () => {
    const adapter = new DpdkTelemetry(await serve('behaves'), 0);
    try {
      const { packets } = adapter.read();
      expect(adapter.read()).to.deep.equal({
        packets: packets + 20,
        drops: 6,
        cycles: undefined,
        busyCycles: undefined,
      });
    } finally {
      adapter.close();
    }
  });

  it('knows how busy its threads are where they count it', async () => {
    const adapter = new DpdkTelemetry(await serve('counts cycles'), 0);
    try {
      const { cycles, busyCycles } = adapter.read();
      expect(busyCycles! / cycles!).to.equal(0.25);
    } finally {
      adapter.close();
    }
  });

  const refused: Array<[manner: string, words: RegExp]> = [
    ['accepts nobody', /does not answer|EAGAIN/],
    ['says nothing', /does not answer/],
    ['hangs later', /does not answer/],
    ['greets with noise', /no JSON object/],
    ['is somebody else', /belongs to process 1$/],
    ['hangs up', /closed the connection|ECONNRESET/],
    ['answers another', /answered \/eal\/lcore\/usage with/],
    ['floods', /answers with 100000 bytes/],
    ['speaks unasked', /speaks without being asked|answered/],
    ['is endless', /speaks without being asked|answered/],
    ['counts backwards', /ipackets is -1/],
    ['counts words', /ipackets is "many"/],
  ];
  for (const [manner, words] of refused) {
    it(`refuses one that ${manner}`, async () => {
      const adapter = new DpdkTelemetry(await serve(manner), 0);
      expect(() => adapter.read())
        .to.throw(words)
        .with.property('code')
        .that.is.oneOf(['BAD_TELEMETRY', 'SYSCALL']);
    });
  }

  it('names a process that has none', async () => {
    await serve('behaves');
    expect(() => new DpdkTelemetry(process.pid, 0).read())
      .to.throw(/has no DPDK telemetry socket/)
      .with.property('hint')
      .that.includes('--no-telemetry');
  });

  it('asks in a thread of its own: one that hangs holds nobody up, and one that comes back is heard', async () => {
    let telemetry: Telemetry | undefined;
    try {
      telemetry = await startTelemetry(idOf(await serve('hangs later')), { kind: 'dpdk', socket: path });
      await until(() => telemetry!.fault !== undefined);
      expect(telemetry.fault).to.match(/does not answer/);
      await endProcess(server);
      rmSync(path);
      await telemetry.close();
      telemetry = await startTelemetry(idOf(await serve('counts cycles')), { kind: 'dpdk', socket: path });
      await until(() => telemetry!.statistics().packetsPerS > 0);
      expect(telemetry.fault).to.equal(undefined);
      expect(telemetry.statistics()).to.include({ drops: 6, dropsPerS: 0, busyRatio: 0.25 });
      await endProcess(server);
      await until(() => telemetry!.fault !== undefined);
    } finally {
      await telemetry?.close();
    }
  });

  it('asks nobody who got the pid of an NF that is gone', async () => {
    const { pid, startTicks, uid } = idOf(await serve('behaves'));
    const earlier = { pid, startTicks: startTicks - 1, uid };
    const thrown = await startTelemetry(earlier, { kind: 'dpdk', socket: path }).catch((error) => error);
    expect(thrown).to.be.an('error').with.property('message').that.includes(`process ${pid} is gone`);
  });

  it('a path that no socket can have is an error, not a crash', () => {
    expect(() => new DpdkTelemetry(process.pid, 0, `/${'x'.repeat(200)}`).read())
      .to.throw(/too long/)
      .satisfy((error: NemoError) => error.code === 'UNSUPPORTED');
  });
});

function idOf(pid: number): { pid: number; startTicks: number; uid: number } {
  return { pid, startTicks: startTicks(pid)!, uid: 0 };
}
