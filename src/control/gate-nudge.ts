/**
 * Entry of a gate's nudge, a real-time thread on the polling core that wakes when a slice has ended and sleeps again
 * at once. Without it the function keeps the core after its slice: the fair scheduler lets whom it finds running
 * finish a slice of its own (RUN_TO_PARITY), up to the next tick. Any real-time thread in between makes it choose anew.
 */

import { workerData } from 'node:worker_threads';
import { gettid } from '../linux/libc.js';
import { setAffinity, setScheduling } from '../linux/sched.js';
import { type GateData, GateWord } from './gate-messages.js';

const data = workerData as GateData;
const words = new Int32Array(data.words);
const tid = gettid();
setAffinity(tid, [data.core]);
// Below everybody else's real-time work: only the fair scheduler's threads are to be interrupted.
setScheduling(tid, { policy: 'fifo', priority: 1, resetOnFork: true });

let seen = 0;
while (Atomics.load(words, GateWord.stop) === 0) {
  Atomics.wait(words, GateWord.nudge, seen);
  seen = Atomics.load(words, GateWord.nudge);
}
