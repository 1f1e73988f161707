/**
 * Entry of a gate's donor thread: it sleeps, waiting for the borrower, through which the lender's priority reaches
 * that. It must not be real-time itself: its own priority would be lent the whole time.
 */

import { workerData } from 'node:worker_threads';
import { gettid } from '../linux/libc.js';
import { PriorityLoan } from '../linux/priority-loan.js';
import { setAffinity, setScheduling } from '../linux/sched.js';
import { type GateData, GateWord, LEASE_END_OFFSET } from './gate-messages.js';

const data = workerData as GateData;
const words = new Int32Array(data.words);
const leaseEnd = new Float64Array(data.words, LEASE_END_OFFSET, 1);
const loan = new PriorityLoan();

const tid = gettid();
setAffinity(tid, [data.gateCore]);
setScheduling(tid, { policy: 'other', nice: -20 });
Atomics.store(words, GateWord.donorTid, tid);
Atomics.notify(words, GateWord.donorTid);

let seen = 0;
while (Atomics.load(words, GateWord.stop) === 0) {
  Atomics.wait(words, GateWord.lease, seen);
  seen = Atomics.load(words, GateWord.lease);
  if (Atomics.load(words, GateWord.stop) === 1) break;
  loan.waitFor(words[GateWord.borrower]!, leaseEnd[0]!);
  Atomics.store(words, GateWord.done, seen);
}
