/**
 * Waits for another thread in such a way that it inherits this thread's priority: who waits for a PI futex lends its
 * priority to the owner, and the owner is whatever thread id stands in the word. Nothing is set on the owner: the
 * loan is the waiting itself. It ends by the kernel's own timer, or as soon as the waiter is killed, stopped or
 * signalled. Nobody has to put anything back.
 *
 * What one would get wrong: the kernel *spins* instead of sleeping while the owner is on a CPU, and a spinning
 * waiter sees neither timeout nor signal. So wait at default priority, which lends nothing worth having, and let
 * somebody else raise the waiter once it sleeps (`isAsleep`), and lower it again. And a wait that a signal
 * interrupted starts again by itself, with what stands in the word then: `forget` makes it end instead.
 */

import { constants } from 'node:os';
import { FUTEX } from './futex.js';
import { KeptFile } from './kept-file.js';
import { errno, syscall } from './libc.js';

/** On the monotonic clock; shared, since a private futex may only name threads of this process. Linux 5.14. */
const LOCK_PI2 = 13;
const UNLOCK_PI = 7;

const { ETIMEDOUT, EAGAIN, EINTR } = constants.errno;

export type LoanEnd = 'expired' | 'released' | 'refused';

/** The waiter's side. */
export class PriorityLoan {
  private readonly limit = new BigInt64Array(2);
  private readonly limitWords = new Uint32Array(this.limit.buffer);
  /** errno of the last refusal. */
  refusal = 0;

  /** `word` is shared with whoever calls `forget`. */
  constructor(private readonly word: Uint32Array) {}

  /**
   * Waits for thread `tid` until `monotonicNs()` reaches `untilNs`. Blocks the calling thread. `released`: the thread
   * ended, or the wait was forgotten. `refused`: there is no such thread, or this kernel has no PI futexes.
   */
  waitFor(tid: number, untilNs: number): LoanEnd {
    const { word, limit, limitWords } = this;
    if (FUTEX === undefined) return 'refused';
    const seconds = Math.floor(untilNs / 1e9);
    limitWords[0] = seconds;
    limitWords[2] = untilNs - seconds * 1e9;
    word[0] = tid;
    if (syscall(FUTEX, word, LOCK_PI2, 0, limit, 0, 0) === 0) {
      syscall(FUTEX, word, UNLOCK_PI, 0, null, 0, 0);
      return 'released';
    }
    const why = errno();
    if (why === ETIMEDOUT || why === EAGAIN || why === EINTR) return 'expired';
    this.refusal = why;
    return 'refused';
  }
}

/** The side of whoever raises the waiter, a thread of the same process. */
export class LoanWaiter {
  private readonly call: KeptFile;

  constructor(
    tid: number,
    private readonly word: Uint32Array,
  ) {
    this.call = new KeptFile(`/proc/self/task/${tid}/syscall`, 'r', 128);
  }

  /** True if it sleeps in `waitFor`: "202 <address> 0xd ...". A thread that is on a CPU reads as "running". */
  isAsleep(): boolean {
    const { call } = this;
    const length = call.read();
    if (length <= 0 || call.nextNumber() !== FUTEX) return false;
    // Past the address, a hexadecimal number with digits that `nextNumber` would stop at.
    let at = call.bytes.indexOf(' ', call.bytes.indexOf(' ') + 1) + 1;
    for (const wanted of OPERATION) if (call.bytes[at++] !== wanted) return false;
    return true;
  }

  /** A wait that is interrupted from now on ends, instead of starting again. */
  forget(): void {
    this.word[0] = 0;
  }

  close(): void {
    this.call.close();
  }
}

const OPERATION = Buffer.from(`0x${LOCK_PI2.toString(16)} `);
