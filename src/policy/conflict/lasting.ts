/**
 * The slow half of judging one NF's packets. 20 ms hold a thousand packets of a busy NF and none of a rare one, so rare
 * and slow packets are judged by share and by time over seconds: no rule here needs a rate that only busy NFs reach. Pure.
 */

import { CONFLICT } from '../../tunables/index.js';

export class LastingBreach {
  private readonly packets = new Float64Array(CONFLICT.lastingParts);
  private readonly above = new Float64Array(CONFLICT.lastingParts);
  /** Packets whatever ran beside them: how often there are any. */
  private readonly seen = new Float64Array(CONFLICT.lastingParts);
  private part = 0;
  private ticks = 0;
  private packetsSum = 0;
  private aboveSum = 0;
  private seenSum = 0;
  /** Late packets in a row. */
  private streak = 0;
  /** Ticks since the last packet, and between the two before. */
  private quietTicks = 0;
  private gapTicks = 0;
  /** How long the p99 of the window has been above the SLO without a break. */
  private brokenTicks = 0;

  /** Once a tick. `counts`: functions ran just now, or are off the core: what packets do then tells of either. */
  observe(packets: number, aboveSlo: number, counts: boolean): void {
    if (++this.ticks === CONFLICT.lastingPartTicks) this.turn();
    this.amend(packets, aboveSlo, counts);
    this.quietTicks++;
    if (this.ended()) this.streak = 0;
    this.brokenTicks = this.p99IsAbove() ? this.brokenTicks + 1 : 0;
  }

  /** Packets that were seen between two ticks. */
  amend(packets: number, aboveSlo: number, counts: boolean): void {
    if (packets === 0) return;
    this.seen[this.part] = this.seen[this.part]! + packets;
    this.seenSum += packets;
    if (!counts) return;
    this.packets[this.part] = this.packets[this.part]! + packets;
    this.above[this.part] = this.above[this.part]! + aboveSlo;
    this.packetsSum += packets;
    this.aboveSum += aboveSlo;
    this.streak = aboveSlo === packets ? this.streak + aboveSlo : 0;
    this.gapTicks = this.quietTicks;
    this.quietTicks = 0;
  }

  /** One stray packet is none; three late ones in a row, however rare, are. */
  broken(): boolean {
    if (this.ended()) return false;
    if (this.streak >= CONFLICT.aboveMin) return true;
    if (!this.p99IsAbove()) return false;
    if (this.aboveSum >= CONFLICT.aboveMin) return true;
    return this.aboveSum > 1 && this.brokenTicks >= CONFLICT.lastingTicks;
  }

  aboveShare(): number {
    if (this.streak >= CONFLICT.aboveMin) return 1;
    return this.packetsSum === 0 ? 0 : this.aboveSum / this.packetsSum;
  }

  /** Ticks between two packets lately; 0: there are none. */
  paceTicks(): number {
    const span = (CONFLICT.lastingParts - 1) * CONFLICT.lastingPartTicks + this.ticks;
    return this.seenSum === 0 ? 0 : span / this.seenSum;
  }

  /** What was seen is answered for. */
  reset(): void {
    this.packets.fill(0);
    this.above.fill(0);
    this.packetsSum = 0;
    this.aboveSum = 0;
    this.streak = 0;
    this.brokenTicks = 0;
  }

  /** No packet for much longer than between the last ones: of what was, nothing is left to be hurt. */
  private ended(): boolean {
    const patience = Math.max(CONFLICT.lastingQuietTicks, 4 * this.gapTicks);
    return this.quietTicks > Math.min(patience, CONFLICT.lastingForgetTicks);
  }

  private p99IsAbove(): boolean {
    return this.aboveSum > this.packetsSum * 0.01;
  }

  private turn(): void {
    this.ticks = 0;
    this.part = this.part + 1 === this.packets.length ? 0 : this.part + 1;
    this.packetsSum -= this.packets[this.part]!;
    this.aboveSum -= this.above[this.part]!;
    this.seenSum -= this.seen[this.part]!;
    this.packets[this.part] = 0;
    this.above[this.part] = 0;
    this.seen[this.part] = 0;
  }
}
