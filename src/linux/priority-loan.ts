/**
 * Lends this thread's real-time priority to another thread for a moment, by priority inheritance: who waits for a
 * PI futex lends its priority to the owner, and the owner is whatever thread id stands in the word. Nothing is set
 * on the borrower: the loan is the waiting itself. It ends by the kernel's own timer, or as soon as the lender is
 * killed, stopped or signalled. Nobody has to put anything back.
 *
 * What one would get wrong: the kernel *spins* instead of sleeping while the owner is on a CPU, and a spinning
 * waiter sees neither timeout nor signal. So a loan goes over a donor: a thread that sleeps, waiting for the
 * borrower (`holdOn`), and that is itself the owner of the word that the lender waits for (`lend`).
 */

import { constants } from 'node:os';
import { errno, syscall } from './libc.js';

/** Number of futex(2); undefined where this program does not know the machine. */
const FUTEX = { x64: 202, arm64: 98 }[process.arch as string];
/** On the monotonic clock; shared, since a private futex may only name threads of this process. Linux 5.14. */
const LOCK_PI2 = 13;
const UNLOCK_PI = 7;

const { ETIMEDOUT, EAGAIN, EINTR } = constants.errno;

export type LoanEnd = 'expired' | 'released' | 'refused';

export class PriorityLoan {
  private readonly word = new Uint32Array(1);
  private readonly limit = new BigInt64Array(2);
  private readonly limitWords = new Uint32Array(this.limit.buffer);
  /** errno of the last refusal. */
  refusal = 0;

  /**
   * Waits for thread `tid` until `monotonicNs()` reaches `untilNs`. Blocks the calling thread. `released`: the thread
   * ended. `refused`: there is no such thread, or this kernel has no PI futexes.
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
