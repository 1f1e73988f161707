/** What the worker of a tap or of a probe found. A probe's `matched` are its answers, its `lost` what nobody answered in time. */

import { BUCKET_COUNT, LatencyBuckets } from '../../model/latency-buckets.js';
import { BELL_WORDS } from '../../packet/doorbell.js';
import { WorkerMemory } from '../worker-memory.js';

const FIGURES = ['matched', 'lost', 'ambiguous', 'unknown', 'missed', 'oneIn'] as const;
const BUCKETS_OFFSET = WorkerMemory.bytesFor(FIGURES.length);
const ARRIVALS_OFFSET = BUCKETS_OFFSET + 4 * BUCKET_COUNT;
const ASKED_OFFSET = ARRIVALS_OFFSET + 8 * BUCKET_COUNT;
const BELL_OFFSET = ASKED_OFFSET + 8;

/**
 * `matched`: packets seen at both ends. `lost`: at the ingress only: lost, dropped on purpose, or changed beyond
 * recognition. `ambiguous`: not measured because others looked the same. `unknown`: at the egress only. `missed`: chosen,
 * but there was no room in the rings. `oneIn`: one in so many packets is measured.
 */
export type TapStatistics = Record<(typeof FIGURES)[number], number>;

export class TapMemory extends WorkerMemory<keyof TapStatistics> {
  readonly buckets: LatencyBuckets;
  /** When the last packet of each bucket was received; see LatencyBuckets. A probe has none. */
  readonly arrivals: Float64Array;
  /** Since when the probe that is under way waits, monotonic nanoseconds; 0: none is. A tap has none. */
  readonly asked: Float64Array;
  /** The words of a doorbell; a probe has none. */
  readonly bell: Int32Array;

  private constructor(shared: SharedArrayBuffer) {
    super(shared, FIGURES);
    this.arrivals = new Float64Array(shared, ARRIVALS_OFFSET, BUCKET_COUNT);
    this.buckets = new LatencyBuckets(new Uint32Array(shared, BUCKETS_OFFSET, BUCKET_COUNT), this.arrivals);
    this.asked = new Float64Array(shared, ASKED_OFFSET, 1);
    this.bell = new Int32Array(shared, BELL_OFFSET, BELL_WORDS);
  }

  static create(): TapMemory {
    return new TapMemory(new SharedArrayBuffer(BELL_OFFSET + 4 * BELL_WORDS));
  }

  static over(shared: SharedArrayBuffer): TapMemory {
    return new TapMemory(shared);
  }
}
