/** A function that goes on after its answer: it has no call, and computes beside an NF whose packets are late. */

import { once } from 'node:events';
import { expect } from 'chai';
import { Control, type CulpritEvent } from '../../src/control/control.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { spawnTied } from '../../src/linux/tied-process.js';
import { Core, type CoreField } from '../../src/model/board.js';
import { SharedLatencyWriter } from '../../src/packet/shared-latency.js';
import { FROZEN } from '../../src/policy/conflict/ladder.js';
import { CONTROL_OPTIONS, NF_CORE } from '../support/control-setup.js';
import { until } from '../support/waiting.js';

describe('escape between calls', function () {
  this.timeout(30_000);
  let driver: CgroupDriver;
  let control: Control;
  let report: SharedLatencyWriter;
  let timer: NodeJS.Timeout;
  let ended: Promise<unknown>[];
  const get = (field: CoreField) => control.board.get(NF_CORE, field);

  beforeEach(async () => {
    // Not behind everybody else, so that they get their part of the core also on a busy machine.
    driver = openCgroupDriver({ rootName: `nemo-test-between-${process.pid}`, idle: false });
    control = await Control.start(CONTROL_OPTIONS);
    report = SharedLatencyWriter.create();
    timer = setInterval(() => report.buckets.record(5e6), 20);
    ended = [];
  });
  afterEach(async () => {
    clearInterval(timer);
    await control.stop();
    await driver.removeAll();
    await Promise.all(ended);
    report.close();
  });

  /** A sandbox whose function has a call until it is said that it has none. */
  function start(name: string, command: string): number {
    const group = driver.create(name, { cpus: [NF_CORE] });
    const join = 'for path; do echo 0 > "$path"; done';
    const child = spawnTied('/bin/sh', ['-c', `${join}; ${command}`, name, ...group.joinPaths], {
      stdio: 'ignore',
    });
    ended.push(once(child, 'exit'));
    return control.addSandbox(NF_CORE, group.handle);
  }

  /** Its call ends, it goes on; resolves when its time is counted as a function's. */
  async function endCall(slot: number): Promise<void> {
    control.setBusy(slot, false);
    control.relax();
    const counted = get(Core.functionNs);
    await until(() => get(Core.functionNs) > counted + 50e6);
  }

  /** This process stands for an NF all of whose packets are late. */
  function setLateNf(): void {
    const { pid } = process;
    const source = { kind: 'reported', pid } as const;
    const rest = { cores: [NF_CORE], tids: [pid], packetTids: [pid], harvest: true, softirq: false };
    control.setNfs([{ id: 'late', pid, sloUs: 1_000, source, ...rest }]);
  }

  it('is throttled as one with a call, though the loop has nothing else to do', async () => {
    await endCall(start('alone', 'while :; do :; done'));
    setLateNf();
    await until(() => get(Core.throttleLevel) >= FROZEN);
    expect(get(Core.hasNf)).to.equal(1);
  });

  it('is to blame itself, not its neighbour that has a call', async () => {
    const culprits: CulpritEvent[] = [];
    control.on('culprit', (event) => culprits.push(event));
    const hog = start('hog', 'while :; do :; done');
    start('quiet', 'exec sleep 60');
    await endCall(hog);
    setLateNf();
    await until(() => culprits.length > 0);
    expect(culprits[0]!.slot).to.equal(hog);
  });
});
