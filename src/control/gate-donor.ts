/**
 * Entry of a gate's donor, on a housekeeping core: it chooses the thread that gets the next slices and sleeps, waiting
 * for it, until the lease ends. What the gate then makes of the donor's priority, the waiting makes of the thread's.
 */

import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { monotonicNs } from '../linux/clock.js';
import { gettid } from '../linux/libc.js';
import { PriorityLoan } from '../linux/priority-loan.js';
import { RunnableThreads } from '../linux/runnable-threads.js';
import { setAffinity, setScheduling } from '../linux/sched.js';
import { GATE } from '../tunables/index.js';
import { type FromGate, type GateData, GateWord, LEASE_END_OFFSET, type ToDonor } from './gate-messages.js';
import { Slot } from './messages.js';

const data = workerData as GateData;
const port = parentPort!;
const slots = new Int32Array(data.slots);
const words = new Int32Array(data.words);
const leaseEnd = new Float64Array(data.words, LEASE_END_OFFSET, 1);
const loan = new PriorityLoan(new Uint32Array(data.words, GateWord.loan * 4, 1));
const say = (message: FromGate): void => port.postMessage(message);
const stopped = (): boolean => Atomics.load(words, GateWord.stop) === 1;

let sandboxes: { slot: number; threads: RunnableThreads }[] = [];
let turn = 0;
let lease = 0;

function start(): void {
  const tid = gettid();
  setAffinity(tid, [data.donorCore]);
  lower(tid);
  Atomics.store(words, GateWord.donorTid, tid);
  Atomics.notify(words, GateWord.donorTid);
  Atomics.wait(words, GateWord.gateTid, 0);
  // To sleep until a thread of our own ends shows whether this kernel lends at all.
  if (loan.waitFor(words[GateWord.gateTid]!, monotonicNs() + 1e6) === 'refused') {
    say({ kind: 'refused', reason: `the kernel lends no priority here (futex: errno ${loan.refusal})` });
    return;
  }
  say({ kind: 'ready' });
  while (!stopped()) {
    for (let m = receiveMessageOnPort(port); m !== undefined; m = receiveMessageOnPort(port)) {
      setSandboxes((m.message as ToDonor).sandboxes);
    }
    const borrower = chooseThread();
    if (borrower === 0) {
      Atomics.wait(words, GateWord.stop, 0, GATE.idleMs);
      continue;
    }
    // The gate may have left this thread raised: a wait would then lend at once and make the kernel spin (see PriorityLoan).
    lower(tid);
    leaseEnd[0] = monotonicNs() + GATE.leaseMs * 1e6;
    Atomics.store(words, GateWord.lease, ++lease);
    Atomics.notify(words, GateWord.lease);
    const end = loan.waitFor(borrower, leaseEnd[0]!);
    Atomics.store(words, GateWord.done, lease);
    // It ended, or it is in the middle of an exec, where the kernel lends it nothing: the gate is not asked again at once.
    if (end !== 'expired') Atomics.wait(words, GateWord.stop, 0, GATE.idleMs);
    while (Atomics.load(words, GateWord.released) !== lease && !stopped()) {
      Atomics.wait(words, GateWord.released, Atomics.load(words, GateWord.released), GATE.idleMs);
    }
  }
}

/** Default priority, but ahead of all other threads that have it. */
function lower(tid: number): void {
  setScheduling(tid, { policy: 'other', nice: -20 });
}

/** A thread that wants to run, of the busy sandboxes in turn; else one that ran last and may do so soon; else 0. */
function chooseThread(): number {
  let likely = 0;
  turn++;
  for (let i = 0; i < sandboxes.length; i++) {
    const { slot, threads } = sandboxes[(turn + i) % sandboxes.length]!;
    if (Atomics.load(slots, slot) !== Slot.busy) continue;
    const tid = threads.next();
    if (tid !== 0) return tid;
    likely ||= threads.last;
  }
  return likely;
}

function setSandboxes(wanted: ToDonor['sandboxes']): void {
  const known = sandboxes;
  sandboxes = wanted.map(
    ({ slot, tasksPath }) =>
      known.find((one) => one.threads.path === tasksPath) ?? {
        slot,
        threads: new RunnableThreads(tasksPath),
      },
  );
  for (const one of known) if (!sandboxes.includes(one)) one.threads.close();
}

start();
