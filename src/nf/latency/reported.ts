/** The NF's own histogram, from its shared file. The NF may not have made it yet: the source then looks again. */

import type { WordAddress } from '../../linux/futex.js';
import { NemoError } from '../../model/errors.js';
import { BUCKET_COUNT, type LatencyBuckets } from '../../model/latency-buckets.js';
import { PacketCounter, SharedLatencyReader } from '../../packet/shared-latency.js';
import { NF } from '../../tunables/index.js';
import type { Bell, LatencySource } from '../latency-source.js';

/** No NF counts so far between two ticks: a difference above it is a counter that went back. */
const STEP_MAX = 0x7fffffff;

export class ReportedSource implements LatencySource {
  readonly kind = 'reported';
  fault: string | undefined;
  private reader: SharedLatencyReader | undefined;
  private readonly before = new Uint32Array(BUCKET_COUNT);
  private readonly heard = { address: [0, 0] as WordAddress, value: 0 };
  /** Ticks until the next look for a file; -1: never again. */
  private retryIn = 0;
  /** Its file was broken: it has to report a packet before it counts as working again. */
  private doubted = false;

  /** `uid`: the NF's user. Never throws: what is wrong with the file stands in `fault`. */
  constructor(
    private readonly pid: number,
    private readonly uid = 0,
  ) {
    this.open();
  }

  sample(into: LatencyBuckets): number {
    const { reader } = this;
    if (reader === undefined) {
      if (this.retryIn > 0 && --this.retryIn === 0) this.open();
      return 0;
    }
    const problem = reader.read();
    if (problem !== undefined) return this.broken(`${reader.path}: ${problem}`);
    const { counts } = reader;
    const { before } = this;
    let added = 0;
    // One pass: the loop does this a thousand times a second. A report that is then found broken was counted up to
    // that bucket, which no quantile notices.
    for (let i = 0; i < BUCKET_COUNT; i++) {
      const count = counts[i]!;
      const difference = (count - before[i]!) >>> 0;
      if (difference === 0) continue;
      if (difference > STEP_MAX) return this.broken(`${reader.path}: a counter went back`);
      into.counts[i] = into.counts[i]! + difference;
      before[i] = count;
      added += difference;
    }
    if (this.doubted && added > 0) {
      this.doubted = false;
      this.fault = undefined;
    }
    return added;
  }

  bell(limitNs: number): Bell | undefined {
    const { reader, heard } = this;
    if (reader?.bellAddress === undefined || !reader.askToRing(limitNs)) return undefined;
    heard.address = reader.bellAddress;
    heard.value = reader.rings;
    return heard;
  }

  get missed(): number {
    return this.reader?.counters[PacketCounter.missed] ?? 0;
  }

  arrivals(): Float64Array | undefined {
    return this.reader?.arrivals();
  }

  close(): void {
    this.reader?.close();
    this.reader = undefined;
    this.retryIn = -1;
  }

  private open(): void {
    try {
      this.reader = new SharedLatencyReader(this.pid, this.uid);
      // What happened before now is not ours to tell.
      this.before.set(this.reader.counts);
      if (!this.doubted) this.fault = undefined;
    } catch (thrown) {
      if (!(thrown instanceof NemoError)) throw thrown;
      this.fault = thrown.message;
      this.retryIn = NF.reportRetryTicks;
    }
  }

  private broken(why: string): number {
    this.close();
    this.retryIn = NF.reportRetryTicks;
    this.doubted = true;
    this.fault = why;
    return 0;
  }
}
