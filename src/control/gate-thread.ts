/**
 * Entry of the slice gate's lender, one a polling core, real-time on a housekeeping core. It lends the core to one
 * thread that wants to run, slice by slice. The state of a raised thread is this thread's own waiting in the kernel:
 * if it dies, stops or hangs, there is nothing left that could be raised.
 */

import { readFileSync } from 'node:fs';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { closedSlice, type SliceSigns, stepSlice } from '../harvest/slice-policy.js';
import { monotonicNs, sleepUntil } from '../linux/clock.js';
import { InterfaceRate } from '../linux/interface-rate.js';
import { gettid } from '../linux/libc.js';
import { PriorityLoan } from '../linux/priority-loan.js';
import { ThreadStat } from '../linux/procfs.js';
import { setAffinity, setScheduling } from '../linux/sched.js';
import { GATE } from '../tunables.js';
import { Board, Core } from './board.js';
import {
  type FromGate,
  type GateData,
  type GateSandbox,
  GateWord,
  LEASE_END_OFFSET,
  type ToGate,
} from './gate-messages.js';
import { Slot } from './messages.js';

const data = workerData as GateData;
const port = parentPort!;
const board = Board.over(data.board);
const slots = new Int32Array(data.slots);
const words = new Int32Array(data.words);
const leaseEnd = new Float64Array(data.words, LEASE_END_OFFSET, 1);
const say = (message: FromGate): void => port.postMessage(message);

const loan = new PriorityLoan();
const rate = new InterfaceRate(data.nfPid);
const slice = closedSlice();
const signs: SliceSigns = { nowMs: 0, packetsPerS: 0, sloUs: 0, throttleLevel: 0 };
let sandboxes: GateSandbox[] = [];
let donorTid = 0;
let donor: ThreadStat;
let nextStepNs = 0;
let lentNs = 0;
let lentSinceNs = 0;
let wasOpen = false;
let nextTurnNs = 0;
let turn = 0;

function start(): void {
  Atomics.wait(words, GateWord.donorTid, 0, 5_000);
  donorTid = Atomics.load(words, GateWord.donorTid);
  donor = new ThreadStat(process.pid, donorTid);
  const tid = gettid();
  try {
    setAffinity(tid, [data.gateCore]);
    setScheduling(tid, { policy: 'fifo', priority: GATE.fifoPriority, resetOnFork: true });
    const end = loan.waitFor(donorTid, monotonicNs() + 50_000);
    if (end !== 'expired') throw new Error(`priority inheritance refused: errno ${loan.refusal}`);
  } catch (thrown) {
    close();
    say({ kind: 'refused', reason: String(thrown) });
    return;
  }
  board.set(data.core, Core.gated, 1);
  say({ kind: 'ready' });
  lentSinceNs = monotonicNs();
  for (;;) {
    for (let m = receiveMessageOnPort(port); m !== undefined; m = receiveMessageOnPort(port)) {
      const message = m.message as ToGate;
      if (message.kind === 'stop') {
        close();
        return;
      }
      sandboxes = message.sandboxes;
    }
    const now = monotonicNs();
    step(now);
    const borrower = slice.sliceUs === 0 ? 0 : chooseThread();
    if (borrower === 0 || !lease(borrower)) sleepUntil(monotonicNs() + GATE.idleMs * 1e6);
  }
}

/** Slices for one thread until the lease ends or the policy closes the gate. False if there was no lease. */
function lease(borrower: number): boolean {
  const borrowed = new ThreadStat(borrower, borrower);
  try {
    if (!borrowed.read()) return false;
    const endNs = monotonicNs() + GATE.leaseMs * 1e6;
    const number = Atomics.load(words, GateWord.lease) + 1;
    words[GateWord.borrower] = borrower;
    leaseEnd[0] = endNs;
    donor.read();
    const before = donor.slices;
    Atomics.store(words, GateWord.lease, number);
    Atomics.notify(words, GateWord.lease);
    const asleep = donorAsleep(before, endNs);
    const asleepSince = donor.slices;
    let runNs = borrowed.runNs;
    for (;;) {
      const now = monotonicNs();
      step(now);
      const sliceNs = slice.sliceUs * 1000;
      // The donor must sleep through the whole slice: awake, it would run at our priority.
      if (!asleep || sliceNs === 0 || now + sliceNs + DONOR_MARGIN_NS > endNs) break;
      donor.read();
      if (donor.slices !== asleepSince || Atomics.load(words, GateWord.done) === number) break;
      loan.waitFor(donorTid, now + sliceNs);
      nudge();
      borrowed.read();
      lentNs += borrowed.runNs - runNs;
      runNs = borrowed.runNs;
      sleepUntil(Math.max(monotonicNs() + GATE.gapMinUs * 1000, now + slice.periodUs * 1000));
    }
    // Nothing is lent until the donor is back: two leases never overlap.
    while (Atomics.load(words, GateWord.done) !== number) sleepUntil(monotonicNs() + LOOK_NS);
    return true;
  } finally {
    borrowed.close();
  }
}

const DONOR_MARGIN_NS = 300_000;
const LOOK_NS = 50_000;

/** Makes the scheduler of the polling core choose anew. */
function nudge(): void {
  Atomics.add(words, GateWord.nudge, 1);
  Atomics.notify(words, GateWord.nudge);
}

/** Waits until the donor has run since `before` and is blocked. */
function donorAsleep(before: number, endNs: number): boolean {
  const path = `/proc/self/task/${donorTid}/stat`;
  while (monotonicNs() + DONOR_MARGIN_NS < endNs) {
    sleepUntil(monotonicNs() + LOOK_NS);
    donor.read();
    if (donor.slices > before && stateOf(path) === 'S' && inFutex()) return true;
  }
  return false;
}

/** Between its two waits the donor sleeps on its command word: told apart by the call's operation. */
function inFutex(): boolean {
  return readFileSync(`/proc/self/task/${donorTid}/syscall`, 'latin1').split(' ', 3)[2] === '0xd';
}

function stateOf(path: string): string {
  try {
    const stat = readFileSync(path, 'latin1');
    return stat[stat.lastIndexOf(')') + 2] ?? '';
  } catch {
    return '';
  }
}

/** A runnable thread of a busy sandbox, in turn; 0 if none wants to run. */
function chooseThread(): number {
  for (let i = 0; i < sandboxes.length; i++) {
    const sandbox = sandboxes[(turn + i) % sandboxes.length]!;
    if (Atomics.load(slots, sandbox.slot) !== Slot.busy) continue;
    let tids: string[];
    try {
      tids = readFileSync(sandbox.tasksPath, 'latin1').split('\n');
    } catch {
      continue;
    }
    for (let j = 0; j < tids.length; j++) {
      const tid = tids[(turn + j) % tids.length]!;
      if (tid !== '' && stateOf(`/proc/${tid}/stat`) === 'R') {
        turn++;
        return Number(tid);
      }
    }
  }
  return 0;
}

function step(now: number): void {
  if (now < nextStepNs) return;
  nextStepNs = now + GATE.stepMs * 1e6;
  signs.nowMs = now / 1e6;
  signs.packetsPerS = rate.read(now);
  signs.sloUs = board.get(data.core, Core.sloUs);
  signs.throttleLevel = board.get(data.core, Core.throttleLevel);
  stepSlice(slice, signs);
  board.set(data.core, Core.gateSliceUs, slice.sliceUs);
  board.set(data.core, Core.gatePeriodUs, slice.periodUs);
  if (now - lentSinceNs >= 1e8) {
    board.set(data.core, Core.gateLentRatio, lentNs / (now - lentSinceNs));
    lentNs = 0;
    lentSinceNs = now;
  }
  const open = slice.sliceUs > 0;
  // A bursty NF closes its gate many times a second: who reads events wants to know less.
  if (open !== wasOpen && now >= nextTurnNs) {
    nextTurnNs = now + GATE.eventMs * 1e6;
    wasOpen = open;
    say({ kind: 'turned', open, sliceUs: slice.sliceUs });
  }
}

function close(): void {
  Atomics.store(words, GateWord.stop, 1);
  Atomics.add(words, GateWord.lease, 1);
  Atomics.notify(words, GateWord.lease);
  nudge();
  for (const field of [Core.gated, Core.gateSliceUs, Core.gatePeriodUs, Core.gateLentRatio]) {
    board.set(data.core, field, 0);
  }
  donor.close();
  rate.close();
}

start();
