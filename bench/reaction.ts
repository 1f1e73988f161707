/**
 * How fast a conflict is answered. A protected NF, a function beside it at SCHED_IDLE, and a disturber that takes the NF's
 * core for some hundred microseconds as an unkind kernel would: packets break the SLO for real. Each round ends with the
 * first throttle that answers for a packet; stages are measured from that packet to the return of the write that takes
 * the function off the core. The loop is warm, as that of an agent that has run for a while.
 *
 *   node dist/bench/reaction.js [rounds] [SLO us] [stall us] [packets/s]
 */

import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { isMainThread, Worker, workerData } from 'node:worker_threads';
import { Control, type LevelEvent } from '../src/control/control.js';
import { createTestbed } from '../src/lab/testbed.js';
import { openCgroupDriver } from '../src/linux/cgroup/open.js';
import { monotonicNs, sleepUntil } from '../src/linux/clock.js';
import { gettid } from '../src/linux/libc.js';
import { setAffinity, setScheduling } from '../src/linux/sched.js';
import { spawnTied } from '../src/linux/tied-process.js';
import { Core } from '../src/model/board.js';

const NF_CORE = 1;
const NF_PRIORITY = 50;
const BURN = 'for path; do echo 0 > "$path"; done; exec chrt -i 0 sh -c "while :; do :; done"';
/** Trouble within a second of a recovery would be held longer: each round shall be the first. */
const REST_MS = 1_100;
const ANSWER_MS = 100;
const RECOVERY_MS = 2_000;
const LOOK_NS = 1e6;
/** Of the disturber: it goes back to rest by itself after one stall. */
const Mode = { rest: 0, disturb: 1, end: 2 } as const;

interface Disturber {
  mode: Int32Array;
  stallNs: number;
}

if (isMainThread) await main();
else disturb(workerData as Disturber);

function disturb({ mode, stallNs }: Disturber): void {
  setAffinity(gettid(), [NF_CORE]);
  setScheduling(gettid(), { policy: 'fifo', priority: NF_PRIORITY + 10, resetOnFork: true });
  while (Atomics.load(mode, 0) !== Mode.end) {
    sleepUntil(monotonicNs() + LOOK_NS);
    if (Atomics.compareExchange(mode, 0, Mode.disturb, Mode.rest) !== Mode.disturb) continue;
    for (const until = monotonicNs() + stallNs; monotonicNs() < until; );
  }
}

async function main(): Promise<void> {
  const [rounds = 15, sloUs = 200, stallUs = 700, packetsPerS = 20_000] = process.argv.slice(2).map(Number);
  const bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: NF_CORE, housekeepingCpu: 0 });
  setScheduling(bed.nfPid, { policy: 'fifo', priority: NF_PRIORITY, resetOnFork: true });
  const driver = openCgroupDriver({ rootName: `nemo-reaction-${process.pid}`, idle: true });
  const group = driver.create('burner', { cpus: [NF_CORE] });
  const burner = spawnTied('/bin/sh', ['-c', BURN, 'burner', ...group.joinPaths], { stdio: 'ignore' });
  const ended = once(burner, 'exit');
  const mode = new Int32Array(new SharedArrayBuffer(4));
  const disturber = new Worker(new URL(import.meta.url), { workerData: { mode, stallNs: stallUs * 1000 } });
  const control = await Control.start({
    coreCount: NF_CORE + 1,
    controlCore: 0,
    functionCores: [NF_CORE],
    conflict: true,
    ladder: 'exponential-backoff',
    predict: true,
    shareRatio: null,
    runningPerCore: 1,
  });
  const seen: LevelEvent[] = [];
  try {
    await bed.traffic.run({ kind: 'poisson', packetsPerS });
    control.setNfs([
      {
        id: 'nf',
        pid: bed.nfPid,
        cores: [NF_CORE],
        tids: readdirSync(`/proc/${bed.nfPid}/task`).map(Number),
        packetTids: [bed.nfPid],
        sloUs,
        harvest: true,
        softirq: false,
        source: { kind: 'reported', pid: bed.nfPid },
      },
    ]);
    control.on('level', (event) => {
      if (event.packet !== undefined) seen.push(event);
    });
    const slot = control.addSandbox(NF_CORE, group.handle);
    const level = () => control.board.get(NF_CORE, Core.throttleLevel);
    for (let round = 0; round < rounds; round++) {
      await delay(REST_MS);
      for (let ms = 0; ms < RECOVERY_MS && level() > 0; ms += 10) await delay(10);
      Atomics.store(mode, 0, Mode.disturb);
      await delay(ANSWER_MS);
    }
    control.removeSandbox(slot);
  } finally {
    Atomics.store(mode, 0, Mode.end);
    await once(disturber, 'exit');
    await control.stop();
    await driver.removeAll();
    await ended;
    await bed.close();
  }
  report(seen);
}

function report(seen: LevelEvent[]): void {
  const packets = seen.map(({ packet }) => packet!);
  console.log(
    JSON.stringify({
      reactions: seen.length,
      over_slo_us: quantiles(packets.map(({ overSloUs }) => overSloUs)),
      // The NF itself was off its core meanwhile: nobody could know.
      until_let_go_us: quantiles(packets.map(({ overSloUs, knownUs }) => overSloUs - knownUs)),
      since_let_go_us: quantiles(packets.map(({ knownUs }) => knownUs)),
      since_last_look_us: quantiles(seen.map(({ reactionUs }) => reactionUs)),
    }),
  );
}

function quantiles(values: number[]): Record<'p50' | 'p90' | 'p99', number> {
  const sorted = values.sort((a, b) => a - b);
  const at = (quantile: number) => Math.round(sorted[Math.floor(quantile * sorted.length)] ?? Number.NaN);
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99) };
}
