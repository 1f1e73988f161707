/**
 * Is an NF's packet latency in conflict with the functions on its core? Works on counts, not on quantiles: the p99
 * is above the SLO exactly when more than one packet in a hundred is, and counts can be added tick by tick.
 */

import { CONFLICT } from '../../tunables/index.js';

/** What one tick of the loop saw on one core. */
export interface TickSigns {
  /** Packets observed, and how many of them were above the SLO. */
  packets: number;
  aboveSlo: number;
  /** Time that NF threads waited for the core, and how often they were put on it. */
  runqueueWaitNs: number;
  slices: number;
  /** Something before an NF of the core waits or is dropped: see conflict/leading. */
  queueSign: boolean;
  /** True if a function had CPU time on the core. */
  functionsRan: boolean;
}

export type ConflictLevel = 'calm' | 'leading' | 'broken' | 'severe';

/**
 * A sliding window of ticks over one core. `observe` is called once a tick, before `judge`; nothing is allocated.
 */
export class ConflictDetector {
  private readonly packets: Float64Array;
  private readonly above: Float64Array;
  private readonly ran: Uint8Array;
  private next = 0;
  private packetsSum = 0;
  private aboveSum = 0;
  private ranSum = 0;
  private waitPerSliceNs = 0;
  private queueSign = false;

  constructor(
    private readonly sloUs: number,
    windowTicks: number = CONFLICT.windowTicks,
  ) {
    this.packets = new Float64Array(windowTicks);
    this.above = new Float64Array(windowTicks);
    this.ran = new Uint8Array(windowTicks);
  }

  observe(signs: TickSigns): void {
    const i = this.next;
    const ran = signs.functionsRan ? 1 : 0;
    this.packetsSum += signs.packets - this.packets[i]!;
    this.aboveSum += signs.aboveSlo - this.above[i]!;
    this.ranSum += ran - this.ran[i]!;
    this.packets[i] = signs.packets;
    this.above[i] = signs.aboveSlo;
    this.ran[i] = ran;
    this.next = i + 1 === this.packets.length ? 0 : i + 1;
    this.queueSign = signs.queueSign;
    this.waitPerSliceNs = signs.slices > 0 ? signs.runqueueWaitNs / signs.slices : 0;
  }

  /** Adds packets to the newest tick: they were seen before the next. */
  amend(packets: number, aboveSlo: number): void {
    const newest = (this.next === 0 ? this.packets.length : this.next) - 1;
    this.packets[newest] = this.packets[newest]! + packets;
    this.above[newest] = this.above[newest]! + aboveSlo;
    this.packetsSum += packets;
    this.aboveSum += aboveSlo;
  }

  /** Called once a tick after `observe`, and after `amend`. Without a function on the core in the window there is no conflict. */
  judge(): ConflictLevel {
    if (this.ranSum === 0) return 'calm';
    if (this.sloBroken()) {
      return this.aboveSum > this.packetsSum * CONFLICT.severeShare ? 'severe' : 'broken';
    }
    // NF threads wait for their own core: latency follows.
    if (this.waitPerSliceNs > this.sloUs * 1_000 * CONFLICT.leadingWaitShare) return 'leading';
    // What is dropped or waits before the NF is not in its latency yet.
    if (this.queueSign) return 'leading';
    return 'calm';
  }

  /** The p99 of the window is above the SLO, told by enough packets that one stray does not decide. */
  sloBroken(): boolean {
    return this.aboveSum >= CONFLICT.aboveMin && this.aboveSum > this.packetsSum * 0.01;
  }

  /** Share of the window's packets above the SLO, for the event's cause. */
  aboveShare(): number {
    return this.packetsSum === 0 ? 0 : this.aboveSum / this.packetsSum;
  }

  /** Forgets the window: after a throttle, so that the same packets are not judged twice. */
  reset(): void {
    this.packets.fill(0);
    this.above.fill(0);
    this.ran.fill(0);
    this.packetsSum = 0;
    this.aboveSum = 0;
    this.ranSum = 0;
  }
}
