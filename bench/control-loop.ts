/**
 * What the control thread costs: its CPU time a second with N NF cores, each with an NF that reports 50,000
 * packets/s and a busy sandbox. Cores beyond those of the machine are numbers only: real threads, groups and
 * reports stand behind them, so every read and write of a tick is real.
 *
 *   node dist/bench/control-loop.js [seconds] [cores...]
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { closeSync, openSync, readdirSync, writeSync } from 'node:fs';
import { Control } from '../src/control/control.js';
import { openCgroupDriver } from '../src/linux/cgroup/open.js';
import { monotonicNs, sleepUntil } from '../src/linux/clock.js';
import { gettid } from '../src/linux/libc.js';
import { ThreadStat } from '../src/linux/procfs.js';
import { setAffinity, setScheduling } from '../src/linux/sched.js';
import { SharedLatencyWriter } from '../src/packet/shared-latency.js';

const FIRST_CORE = 1;
const PACKETS_PER_BATCH = 50;

/** `rings`: NFs tell of late packets by themselves, so that the loop may look less often. */
async function measure(nfCores: number, seconds: number, rings: boolean): Promise<Record<string, number>> {
  const cores = Array.from({ length: nfCores }, (_, i) => FIRST_CORE + i);
  const driver = openCgroupDriver({ rootName: `nemo-loop-${process.pid}`, idle: true });
  const report = SharedLatencyWriter.create();
  if (!rings) silence(report.path);
  const children: ChildProcess[] = [];
  const control = await Control.start({
    coreCount: FIRST_CORE + nfCores,
    controlCore: 0,
    functionCores: cores,
    conflict: true,
    ladder: 'exponential-backoff',
    predict: true,
    shareRatio: null,
    runningPerCore: 1,
  });
  const tids = readdirSync('/proc/self/task').map(Number);
  const feeder = setInterval(() => {
    for (let i = 0; i < PACKETS_PER_BATCH; i++) report.buckets.record(10_000 + i * 1_000);
    report.counters[0] = report.counters[0]! + PACKETS_PER_BATCH;
  }, 1);
  try {
    control.setNfs(
      cores.map((core) => ({
        id: `nf-${core}`,
        pid: process.pid,
        cores: [core],
        tids,
        packetTids: [tids[0]!],
        sloUs: 2_000,
        harvest: true,
        softirq: false,
        source: { kind: 'reported', pid: process.pid },
      })),
    );
    for (const core of cores) {
      const group = driver.create(`s${core}`, { memoryMaxBytes: 64 * 1024 * 1024, pidsMax: 8 });
      const join = 'for f in "$@"; do echo 0 > "$f"; done; exec sleep 600';
      children.push(spawn('sh', ['-c', join, 'sh', ...group.joinPaths], { stdio: 'ignore' }));
      control.addSandbox(core, group.handle);
    }
    await pause(1_000);
    const { board } = control;
    const cpu = board.head(1);
    const from = performance.now();
    const ticks = board.head(0);
    await pause(seconds * 1_000);
    const wallNs = (performance.now() - from) * 1e6;
    return {
      nf_cores: nfCores,
      rings: rings ? 1 : 0,
      loop_hz: board.head(3),
      cost_ratio: (board.head(1) - cpu) / wallNs,
      us_per_tick: (board.head(1) - cpu) / 1_000 / (board.head(0) - ticks),
      lateness_p99_us: board.head(2),
      looks: board.head(16),
    };
  } finally {
    clearInterval(feeder);
    for (const child of children) child.kill('SIGKILL');
    await control.stop();
    report.close();
    await driver.removeAll();
  }
}

/** Takes the NF's doorbell away, as if it were one that has none. */
function silence(path: string): void {
  const fd = openSync(path, 'r+');
  writeSync(fd, new Uint8Array(8), 0, 8, 56);
  closeSync(fd);
}

/** What a thread pays here for waking a thousand times a second and doing nothing, as the loop is scheduled. */
function bareWakeUs(seconds: number): number {
  setAffinity(gettid(), [0]);
  setScheduling(gettid(), { policy: 'fifo', priority: 20, resetOnFork: true });
  const self = new ThreadStat(process.pid, gettid());
  self.read();
  const before = self.runNs;
  const wakes = seconds * 1_000;
  for (let i = 0, due = monotonicNs(); i < wakes; i++, due += 1e6) sleepUntil(due);
  self.read();
  self.close();
  return (self.runNs - before) / 1_000 / wakes;
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

const [secondsText = '5', ...coreTexts] = process.argv.slice(2);
for (const count of coreTexts.length > 0 ? coreTexts.map(Number) : [1, 4]) {
  for (const rings of [true, false])
    console.log(JSON.stringify(await measure(count, Number(secondsText), rings)));
}
console.log(JSON.stringify({ bare_wake_us: bareWakeUs(Number(secondsText)) }));
