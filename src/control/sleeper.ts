/**
 * How the loop sleeps: on the board's wake word, on the doorbells of NFs, and on its clock, all at once. Where the
 * kernel cannot wait for several words (Linux before 5.16), bells are ignored and the clock decides.
 */

import { monotonicNs } from '../linux/clock.js';
import { FutexWait, type WordAddress, wordAddress } from '../linux/futex.js';
import type { Bell } from '../nf/latency-source.js';
import { CONTROL, DOORBELL } from '../tunables/index.js';

export class Sleeper {
  private readonly futexes = new FutexWait();
  private readonly own: WordAddress;
  /** From the loop's clock to the kernel's. */
  private readonly offsetNs: number;
  private plain = false;
  private bells = 0;

  /** `nowNs`: the loop's clock. */
  constructor(
    private readonly word: Int32Array,
    private readonly nowNs: () => number,
  ) {
    this.own = wordAddress(word);
    this.offsetNs = offsetOf(nowNs);
  }

  /** Starts over: sleeps on the wake word while it has this value, and on the bells that `onBell` then adds. */
  prepare(seen: number): void {
    this.futexes.clear();
    this.futexes.add(this.own, seen);
    this.bells = 0;
  }

  onBell({ address, value }: Bell): void {
    this.futexes.add(address, value);
    this.bells++;
  }

  /** Sleeps; true: the time is over, false: one of the words changed. */
  sleep(seen: number, untilNs: number): boolean {
    if (!this.plain) {
      const end = this.futexes.wait(untilNs + this.offsetNs);
      if (end !== 'refused') return end === 'timeout';
      // A bell whose file was shortened is refused too; the next look at the file finds it broken.
      this.plain = this.bells === 0;
    }
    return Atomics.wait(this.word, 0, seen, Math.max(0.05, (untilNs - this.nowNs()) / 1e6)) === 'timed-out';
  }
}

/** Of several comparisons the closest: the first calls of a thread take a millisecond. */
function offsetOf(nowNs: () => number): number {
  let offsetNs = 0;
  let closestNs = Number.POSITIVE_INFINITY;
  for (let i = 0; i < 10; i++) {
    const before = nowNs();
    const kernelNs = monotonicNs();
    const spanNs = nowNs() - before;
    if (spanNs >= closestNs) continue;
    closestNs = spanNs;
    offsetNs = kernelNs - before - spanNs / 2;
  }
  return offsetNs;
}

/**
 * When bells count. A look costs as much as a tick, and a bell can ring without reason: its word is garbled, or its NF
 * has some late packets that are not a conflict. The more often that happens in a row, the longer bells are ignored.
 */
export class Patience {
  private deafNs: number = DOORBELL.deafUs * 1000;
  private untilNs = 0;

  /** Bells count again from then on. */
  get listensNs(): number {
    return this.untilNs;
  }

  rangForNothing(nowNs: number): void {
    this.untilNs = nowNs + this.deafNs;
    this.deafNs = Math.min(this.deafNs * 2, CONTROL.periodUs * 1000);
  }

  /** A period without a ring. */
  calm(): void {
    this.deafNs = DOORBELL.deafUs * 1000;
  }
}
