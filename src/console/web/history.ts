/**
 * The last minute of one core: a ring of typed arrays, so that the page's memory stays the same after a week.
 * Time is the agent's, not the viewer's; should it run backwards (the host's clock was set), the ring starts again.
 */

import type { FeedCore } from '../../model/feed.js';

export const SPAN_MS = 60_000;
/** A minute at 20 Hz: the feed sends 10 Hz, and a feed set faster still shows half a minute. */
const CAPACITY = 1_200;
/** Samples further apart than this are not joined by a line: nothing is known of the time between. */
export const GAP_MS = 450;

/**
 * What the charts draw, oldest first, reused from frame to frame. `xS` is seconds before now (<= 0). The tops are
 * stacked shares of the core; null is a gap. `level` is the throttle level of each sample.
 */
export interface LaneView {
  xS: number[];
  nfTop: Array<number | null>;
  functionTop: Array<number | null>;
  otherTop: Array<number | null>;
  idleTop: Array<number | null>;
  p50Us: Array<number | null>;
  p99Us: Array<number | null>;
  sloUs: Array<number | null>;
  level: number[];
  /** Over all latencies and SLOs in view; null without any. */
  latencyMinUs: number | null;
  latencyMaxUs: number | null;
}

export function emptyView(): LaneView {
  return {
    xS: [],
    nfTop: [],
    functionTop: [],
    otherTop: [],
    idleTop: [],
    p50Us: [],
    p99Us: [],
    sloUs: [],
    level: [],
    latencyMinUs: null,
    latencyMaxUs: null,
  };
}

export class CoreHistory {
  private readonly timeMs = new Float64Array(CAPACITY);
  private readonly nf = new Float32Array(CAPACITY);
  private readonly functions = new Float32Array(CAPACITY);
  private readonly other = new Float32Array(CAPACITY);
  /** NaN where there is none, in these three. */
  private readonly p50Us = new Float32Array(CAPACITY);
  private readonly p99Us = new Float32Array(CAPACITY);
  private readonly sloUs = new Float32Array(CAPACITY);
  private readonly level = new Uint8Array(CAPACITY);
  private next = 0;
  private size = 0;

  get length(): number {
    return this.size;
  }

  get newestMs(): number {
    return this.size === 0 ? Number.NEGATIVE_INFINITY : this.timeMs[(this.next - 1 + CAPACITY) % CAPACITY]!;
  }

  push(timeMs: number, sample: FeedCore): void {
    if (timeMs === this.newestMs) return;
    if (timeMs < this.newestMs) this.size = 0;
    const at = this.next;
    this.timeMs[at] = timeMs;
    this.nf[at] = sample.nfRatio;
    this.functions[at] = sample.functionRatio;
    this.other[at] = sample.otherRatio;
    this.p50Us[at] = sample.p50Us ?? Number.NaN;
    this.p99Us[at] = sample.p99Us ?? Number.NaN;
    this.sloUs[at] = sample.sloUs ?? Number.NaN;
    this.level[at] = Math.min(255, sample.throttleLevel);
    this.next = (at + 1) % CAPACITY;
    this.size = Math.min(CAPACITY, this.size + 1);
  }

  /** Writes the samples of the last minute before `nowMs` into `view`. */
  fill(view: LaneView, nowMs: number): void {
    let rows = 0;
    let min = Number.POSITIVE_INFINITY;
    let max = 0;
    let previousMs = Number.NEGATIVE_INFINITY;
    for (let i = 0; i < this.size; i++) {
      const at = (this.next - this.size + i + CAPACITY) % CAPACITY;
      const timeMs = this.timeMs[at]!;
      if (timeMs < nowMs - SPAN_MS || timeMs > nowMs) continue;
      if (rows > 0 && timeMs - previousMs > GAP_MS) {
        this.writeGap(view, rows, (previousMs + 1 - nowMs) / 1_000);
        rows++;
      }
      previousMs = timeMs;
      const nf = clamp(this.nf[at]!);
      const functionTop = clamp(nf + this.functions[at]!);
      view.xS[rows] = (timeMs - nowMs) / 1_000;
      view.nfTop[rows] = nf;
      view.functionTop[rows] = functionTop;
      view.otherTop[rows] = clamp(functionTop + this.other[at]!);
      view.idleTop[rows] = 1;
      view.p50Us[rows] = positive(this.p50Us[at]!);
      view.p99Us[rows] = positive(this.p99Us[at]!);
      view.sloUs[rows] = positive(this.sloUs[at]!);
      view.level[rows] = this.level[at]!;
      for (const series of [view.p50Us, view.p99Us, view.sloUs]) {
        const value = series[rows];
        if (value == null) continue;
        if (value < min) min = value;
        if (value > max) max = value;
      }
      rows++;
    }
    view.latencyMinUs = max > 0 ? min : null;
    view.latencyMaxUs = max > 0 ? max : null;
    for (const column of Object.values(view)) if (Array.isArray(column)) column.length = rows;
  }

  private writeGap(view: LaneView, row: number, xS: number): void {
    view.xS[row] = xS;
    view.nfTop[row] = view.functionTop[row] = view.otherTop[row] = view.idleTop[row] = null;
    view.p50Us[row] = view.p99Us[row] = view.sloUs[row] = null;
    view.level[row] = 0;
  }
}

/** A log axis has no place for 0 and below: unknown. */
function positive(value: number): number | null {
  return value > 0 ? value : null;
}

function clamp(ratio: number): number {
  return Math.min(1, Math.max(0, ratio));
}

/** A run of throttled samples, for shading: from and to in seconds before now, and the strongest level in it. */
export interface ThrottledStretch {
  fromS: number;
  toS: number;
  level: number;
}

/** The throttled stretches of a view. A stretch reaches to the first sample after it, where one is known. */
export function throttledStretches(view: LaneView): ThrottledStretch[] {
  const stretches: ThrottledStretch[] = [];
  let open: ThrottledStretch | undefined;
  for (let i = 0; i < view.xS.length; i++) {
    const level = view.level[i]!;
    const atS = view.xS[i]!;
    if (open) open.toS = atS;
    if (level === 0) open = undefined;
    else if (open) open.level = Math.max(open.level, level);
    else {
      open = { fromS: atS, toS: atS, level };
      stretches.push(open);
    }
  }
  return stretches;
}

/** Bounds of a latency axis that holds all values and steps by 1, 3, 10, 30 ..., so that it seldom jumps. */
export function latencyBounds(minUs: number | null, maxUs: number | null): [number, number] {
  if (minUs === null || maxUs === null) return [1, 1_000];
  const low = minUs / 1.2;
  const high = maxUs * 1.15;
  const lowDecade = 10 ** Math.floor(Math.log10(low));
  const highDecade = 10 ** Math.floor(Math.log10(high));
  return [
    low >= 3 * lowDecade ? 3 * lowDecade : lowDecade,
    high > 3 * highDecade ? 10 * highDecade : 3 * highDecade,
  ];
}
