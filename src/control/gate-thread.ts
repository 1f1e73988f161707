/**
 * Entry of a slice gate, one a polling core, real-time on that very core: its own timers end a slice, and no other
 * core's load can make one longer. It lends the core by raising the donor, who sleeps and waits for a function's
 * thread, and lowers it again; in between it sleeps. It must stay free of anything that allocates or waits.
 *
 * Whatever happens to it, nothing stays raised: the donor's wait has an end in the kernel (GATE.leaseMs), and ends at
 * once when this process is killed or stopped.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { monotonicNs, sleepUntil } from '../linux/clock.js';
import { InterfaceRate } from '../linux/interface-rate.js';
import { gettid, schedSetscheduler } from '../linux/libc.js';
import { LoanWaiter } from '../linux/priority-loan.js';
import { POLICY_NUMBERS, setAffinity, setScheduling } from '../linux/sched.js';
import { Board, Core } from '../model/board.js';
import { closedSlice, type SliceSigns, stepSlice } from '../policy/harvest/slice-policy.js';
import { GATE } from '../tunables/index.js';
import { type FromGate, type GateData, GateWord, LEASE_END_OFFSET } from './gate-messages.js';

const data = workerData as GateData;
const { core } = data;
const board = Board.over(data.board);
const words = new Int32Array(data.words);
const leaseEnd = new Float64Array(data.words, LEASE_END_OFFSET, 1);
const say = (message: FromGate): void => parentPort!.postMessage(message);

const RAISED = Int32Array.of(GATE.loanPriority);
const LOWERED = Int32Array.of(0);
const STEP_NS = GATE.stepUs * 1_000;
const MARGIN_NS = GATE.leaseMarginUs * 1_000;

const rate = new InterfaceRate(data.nfPid);
const slice = closedSlice();
const signs: SliceSigns = {
  nowMs: 0,
  packetsPerS: 0,
  sloUs: 0,
  p99Us: 0,
  throttleLevel: 0,
  overshootUs: GATE.overshootUs + GATE.switchUs,
};
let donorTid = 0;
let nextStepNs = 0;
let lentNs = 0;
let lentSinceNs = 0;

function start(): void {
  const tid = gettid();
  try {
    setAffinity(tid, [core]);
    setScheduling(tid, { policy: 'fifo', priority: GATE.fifoPriority, resetOnFork: true });
  } catch (thrown) {
    say({ kind: 'refused', reason: String(thrown) });
    return;
  }
  Atomics.store(words, GateWord.gateTid, tid);
  Atomics.notify(words, GateWord.gateTid);
  Atomics.wait(words, GateWord.donorTid, 0);
  donorTid = Atomics.load(words, GateWord.donorTid);
  const donor = new LoanWaiter(donorTid, new Uint32Array(data.words, GateWord.loan * 4, 1));
  say({ kind: 'ready' });
  board.set(core, Core.gated, 1);
  let seen = 0;
  while (!stopped()) {
    // Sleeps for as long as nobody wants the core.
    Atomics.wait(words, GateWord.lease, seen, 100);
    const number = Atomics.load(words, GateWord.lease);
    if (number === seen) {
      step(monotonicNs());
      continue;
    }
    seen = number;
    if (armed(donor, number)) lend(number);
    // From here on the donor is not touched until it has begun another lease.
    Atomics.store(words, GateWord.released, number);
    Atomics.notify(words, GateWord.released);
  }
  close(donor);
}

const stopped = (): boolean => Atomics.load(words, GateWord.stop) === 1;

/** Waits until the donor sleeps in its lease. False if the lease ended before. */
function armed(donor: LoanWaiter, number: number): boolean {
  while (Atomics.load(words, GateWord.done) !== number && !stopped()) {
    if (donor.isAsleep()) {
      donor.forget();
      return true;
    }
    if (monotonicNs() > leaseEnd[0]! - MARGIN_NS) return false;
    sleepUntil(monotonicNs() + GATE.armLookUs * 1_000);
  }
  return false;
}

/** Slices until the lease ends. */
function lend(number: number): void {
  const endNs = leaseEnd[0]! - MARGIN_NS;
  for (;;) {
    const now = monotonicNs();
    if (now >= nextStepNs) step(now);
    if (Atomics.load(words, GateWord.done) === number || stopped()) return;
    const sliceNs = slice.sliceUs * 1_000;
    if (sliceNs === 0) {
      if (now + STEP_NS > endNs) return;
      sleepUntil(now + STEP_NS);
      continue;
    }
    if (now + sliceNs > endNs) return;
    schedSetscheduler(donorTid, POLICY_NUMBERS.fifo, RAISED);
    sleepUntil(now + sliceNs);
    schedSetscheduler(donorTid, POLICY_NUMBERS.other, LOWERED);
    const ended = monotonicNs();
    lentNs += ended - now;
    // A slice in which this process or the host stood still does not predict the next one.
    const overUs = Math.min(GATE.overshootMaxUs, (ended - now - sliceNs) / 1_000) + GATE.switchUs;
    signs.overshootUs += (overUs - signs.overshootUs) * GATE.overshootWeight;
    sleepUntil(ended + slice.gapUs * 1_000);
  }
}

function step(now: number): void {
  nextStepNs = now + STEP_NS;
  signs.nowMs = now / 1e6;
  signs.packetsPerS = rate.read(now);
  signs.sloUs = board.get(core, Core.sloUs);
  signs.p99Us = board.get(core, Core.p99Us);
  signs.throttleLevel = board.get(core, Core.throttleLevel);
  stepSlice(slice, signs);
  const { sliceUs, gapUs } = slice;
  board.set(core, Core.gateSliceUs, sliceUs);
  board.set(core, Core.gatePeriodUs, sliceUs === 0 ? 0 : sliceUs + signs.overshootUs + gapUs);
  if (now - lentSinceNs < 1e8) return;
  board.set(core, Core.gateLentRatio, lentNs / (now - lentSinceNs));
  lentNs = 0;
  lentSinceNs = now;
}

function close(donor: LoanWaiter): void {
  for (const field of [Core.gated, Core.gateSliceUs, Core.gatePeriodUs, Core.gateLentRatio]) {
    board.set(core, field, 0);
  }
  donor.close();
  rate.close();
}

start();
