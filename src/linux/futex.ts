/**
 * Sleeping until one of several words in shared memory changes: futex_waitv(2) (Linux 5.16). The words may lie in
 * memory of this process or in a file that another process has mapped; whoever changes one calls `wakeAll`. The kernel
 * alone looks at the words while we sleep: a file that its owner has shortened is an error here, not a SIGBUS.
 */

import { constants } from 'node:os';
import koffi from 'koffi';
import { errno, syscall } from './libc.js';

interface Numbers {
  futex: number;
  waitv: number;
}

/** Numbers of futex(2) and futex_waitv(2); undefined where this program does not know the machine. */
const NUMBERS: Numbers | undefined = {
  x64: { futex: 202, waitv: 449 },
  arm64: { futex: 98, waitv: 449 },
}[process.arch as string];

export const FUTEX: number | undefined = NUMBERS?.futex;
const FUTEX_WAKE = 1;
const CLOCK_MONOTONIC = 1;
/** struct futex_waitv { u64 value; u64 address; u32 flags; u32 reserved }: six words of 32 bits. */
const WAITER_WORDS = 6;
const FUTEX2_SIZE_U32 = 2;
/** What the kernel takes. */
const WAITERS_MAX = 128;
const { EAGAIN, EINTR, ETIMEDOUT } = constants.errno;

/** Wakes all that sleep on the word, in any process. Never blocks; nobody there costs one system call. */
export function wakeAll(word: Int32Array): void {
  if (NUMBERS === undefined) Atomics.notify(word, 0);
  else syscall(NUMBERS.futex, word, FUTEX_WAKE, 0x7fffffff, null, 0, 0);
}

/** `timeout`: nothing changed. `refused`: the kernel cannot wait for these words. */
export type WaitEnd = 'woken' | 'timeout' | 'refused';

/** Low and high half of where a word lies. */
export type WordAddress = readonly [low: number, high: number];

export class FutexWait {
  private readonly waiters = new Uint32Array(WAITERS_MAX * WAITER_WORDS);
  private readonly limit = new BigInt64Array(2);
  private readonly limitWords = new Uint32Array(this.limit.buffer);
  private count = 0;

  clear(): void {
    this.count = 0;
  }

  /** A word to wait for as long as it has this value. One too many is left out. */
  add([low, high]: WordAddress, value: number): void {
    if (this.count >= WAITERS_MAX) return;
    const at = this.count++ * WAITER_WORDS;
    this.waiters[at] = value;
    this.waiters[at + 2] = low;
    this.waiters[at + 3] = high;
    this.waiters[at + 4] = FUTEX2_SIZE_U32;
  }

  /**
   * Sleeps until one of the words has another value than it was added with, or until the monotonic clock reaches
   * `untilNs`. Blocks the calling thread. A signal ends it as `woken`, with nothing new.
   */
  wait(untilNs: number): WaitEnd {
    const { waiters, limit, limitWords } = this;
    if (NUMBERS === undefined) return 'refused';
    const seconds = Math.floor(untilNs / 1e9);
    limitWords[0] = seconds;
    limitWords[2] = untilNs - seconds * 1e9;
    if (syscall(NUMBERS.waitv, waiters, this.count, 0, limit, CLOCK_MONOTONIC, 0) >= 0) return 'woken';
    const why = errno();
    if (why === ETIMEDOUT) return 'timeout';
    return why === EAGAIN || why === EINTR ? 'woken' : 'refused';
  }
}

/** Of the first word of an array that does not move (memory that is shared or mapped), or of what mmap returned. */
export function wordAddress(memory: unknown): WordAddress {
  const address = BigInt(koffi.address(memory));
  return [Number(address & 0xffffffffn), Number(address >> 32n)];
}
