/**
 * Whether an NF is stopped by its own CPU quota (CFS bandwidth), which makes packets late whoever runs beside it. The
 * kernel counts a stop when its period ends (`nr_throttled`), so before the packets that waited are handled.
 */

import { KeptFile } from '../linux/kept-file.js';
import { CONFLICT } from '../tunables/index.js';

const NR_THROTTLED = Buffer.from('nr_throttled ');

export class QuotaWatch {
  private readonly files: KeptFile[];
  private total = Number.NaN;
  private untilMs = Number.NEGATIVE_INFINITY;
  private marked = 0;
  private markedMs = Number.NaN;

  /** `cpu.stat` of each group with a quota. */
  constructor(paths: readonly string[]) {
    this.files = paths.map((path) => new KeptFile(path, 'r', 512));
  }

  get any(): boolean {
    return this.files.length > 0;
  }

  /** It was stopped just now. `ask`: something is late, so reading the files is worth its cost. */
  stopped(nowMs: number, ask: boolean): boolean {
    if (nowMs < this.untilMs) return true;
    if (ask) this.sample(nowMs);
    return nowMs < this.untilMs;
  }

  /** Stops a second since the last call. Called a few times a second; `stopped` compares with the last call. */
  perS(nowMs: number): number {
    if (!this.any) return 0;
    this.sample(nowMs);
    const stops = this.total - this.marked;
    const perS = Number.isNaN(this.markedMs) ? 0 : (stops * 1000) / Math.max(1, nowMs - this.markedMs);
    this.marked = this.total;
    this.markedMs = nowMs;
    return perS;
  }

  private sample(nowMs: number): void {
    let total = 0;
    for (let i = 0; i < this.files.length; i++) {
      const file = this.files[i]!;
      if (file.read() > 0 && file.skipBehind(NR_THROTTLED)) total += file.nextNumber();
    }
    if (total > this.total) this.untilMs = nowMs + CONFLICT.quotaExcuseMs;
    this.total = total;
  }

  close(): void {
    for (const file of this.files) file.close();
  }
}
