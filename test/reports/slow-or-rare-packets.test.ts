/** Reported: an NF with few or slow packets, all above its SLO, and functions go on beside it as if nothing were. */

import type { ChildProcess } from 'node:child_process';
import { expect } from 'chai';
import { endProcess } from '../../src/linux/tied-process.js';
import { Core } from '../../src/model/board.js';
import { startProbe } from '../../src/nf/latency/probe.js';
import type { Tap } from '../../src/nf/latency/tap.js';
import { SharedLatencyWriter } from '../../src/packet/shared-latency.js';
import { FROZEN, OFF } from '../../src/policy/conflict/ladder.js';
import { ControlSetup, startServer } from '../support/control-setup.js';
import { idOf } from '../support/process-id.js';
import { until } from '../support/waiting.js';

describe('report: slow or rare packets', function () {
  this.timeout(60_000);
  let bed: ControlSetup;
  let server: ChildProcess | undefined;
  let probe: Tap | undefined;
  let timer: NodeJS.Timeout | undefined;
  let report: SharedLatencyWriter | undefined;

  beforeEach(async () => {
    bed = await ControlSetup.start();
  });
  afterEach(async () => {
    clearInterval(timer);
    await bed.close();
    await probe?.close();
    report?.close();
    if (server !== undefined) await endProcess(server);
    probe = report = server = undefined;
  });

  /** A packet of 5 ms every so often, told by this process. */
  function lateEvery(periodMs: number) {
    report = SharedLatencyWriter.create();
    timer = setInterval(() => report!.buckets.record(5e6), periodMs);
    const { pid } = process;
    return bed.nf({ id: 'guest', pid, sloUs: 1_000, source: { kind: 'reported', pid } });
  }

  for (const periodMs of [20, 200]) {
    it(`one every ${periodMs} ms, each above the SLO: functions leave the core, and it is said that this does not help`, async () => {
      bed.control.setNfs([lateEvery(periodMs)]);
      await until(() => bed.level === OFF);
      await until(() => bed.get(Core.unmeetable) === 1);
      const unmet = () =>
        bed.warnings.filter((warning) => warning.includes('not met even without functions'));
      await until(() => unmet().length > 0);
      expect(unmet()).to.have.length(1);
    });
  }

  it('of a server beside one that is well and has a thousand times the packets', async () => {
    report = SharedLatencyWriter.create();
    const { buckets } = report;
    timer = setInterval(() => {
      for (let i = 0; i < 1_000; i++) buckets.record(1e5);
    }, 2);
    const { pid } = process;
    const busy = bed.nf({ id: 'busy', pid, sloUs: 1_000, source: { kind: 'reported', pid } });
    server = await startServer('setTimeout(() => response.end(), 40);');
    probe = await startProbe(idOf(server.pid!), { kind: 'http' });
    const slow = { id: 'slow', pid: server.pid!, sloUs: 12_000 };
    bed.control.setNfs([busy, bed.nf({ ...slow, source: { kind: 'probe', shared: probe.shared } })]);
    await until(() => bed.level === OFF);
    expect(bed.levels.at(-1)).to.include({ to: OFF });
  });

  it('a server that stands still is late before it answers', async () => {
    server = await startServer('response.end();');
    probe = await startProbe(idOf(server.pid!), { kind: 'http' });
    await until(() => probe!.statistics().matched > 10);
    const answered = () => probe!.statistics().matched + probe!.statistics().lost;
    const nf = { id: 'paused', pid: server.pid!, sloUs: 50_000 };
    bed.control.setNfs([bed.nf({ ...nf, source: { kind: 'probe', shared: probe.shared } })]);
    await until(() => bed.get(Core.hasNf) === 1);
    server.kill('SIGSTOP');
    const before = answered();
    await until(() => bed.level >= FROZEN);
    // The probe that was under way, and perhaps one more: nobody waited for the timeout of three.
    expect(answered() - before).to.be.at.most(1);
    server.kill('SIGCONT');
    await until(() => bed.level === 0);
  });

  it('of an NF that is well disturb no function', async () => {
    report = SharedLatencyWriter.create();
    const { pid } = process;
    let sent = 0;
    // One stray in 200.
    timer = setInterval(() => report!.buckets.record(sent++ === 100 ? 5e6 : 1e5), 10);
    bed.control.setNfs([bed.nf({ id: 'well', pid, sloUs: 1_000, source: { kind: 'reported', pid } })]);
    await until(() => sent > 250);
    expect(bed.levels.filter(({ cause }) => cause.includes('above the SLO'))).to.deep.equal([]);
  });
});
