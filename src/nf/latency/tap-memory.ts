/**
 * What the worker of a tap or of a probe shares with those who read it: one writer, the worker; only `stop` is written
 * by others. A probe's `matched` are its answers, its `lost` what nobody answered in time.
 */

import { BUCKET_COUNT, LatencyBuckets } from '../../packet/latency-buckets.js';

const FAULT_BYTES = 512;
const NUMBERS = 8;
const WORDS = 4;
const NUMBERS_OFFSET = FAULT_BYTES;
const WORDS_OFFSET = NUMBERS_OFFSET + 8 * NUMBERS;
const BUCKETS_OFFSET = WORDS_OFFSET + 4 * WORDS;

const Word = { stop: 0, version: 1, faultBytes: 2 } as const;
const Figure = { matched: 0, lost: 1, ambiguous: 2, unknown: 3, missed: 4, oneIn: 5 } as const;

export interface TapStatistics {
  /** Packets seen at both ends. */
  matched: number;
  /** Seen at the ingress only: lost, dropped on purpose, or changed beyond recognition. */
  lost: number;
  /** Not measured because others looked the same. */
  ambiguous: number;
  /** Seen at the egress only. */
  unknown: number;
  /** Chosen, but there was no room in the rings. */
  missed: number;
  /** One in so many packets is measured. */
  oneIn: number;
}

export class TapMemory {
  readonly shared: SharedArrayBuffer;
  readonly buckets: LatencyBuckets;
  private readonly text: Uint8Array;
  private readonly figures: Float64Array;
  private readonly words: Int32Array;

  private constructor(shared: SharedArrayBuffer) {
    this.shared = shared;
    this.text = new Uint8Array(shared, 0, FAULT_BYTES);
    this.figures = new Float64Array(shared, NUMBERS_OFFSET, NUMBERS);
    this.words = new Int32Array(shared, WORDS_OFFSET, WORDS);
    this.buckets = new LatencyBuckets(new Uint32Array(shared, BUCKETS_OFFSET, BUCKET_COUNT));
  }

  static create(): TapMemory {
    return new TapMemory(new SharedArrayBuffer(BUCKETS_OFFSET + 4 * BUCKET_COUNT));
  }

  static over(shared: SharedArrayBuffer): TapMemory {
    return new TapMemory(shared);
  }

  stop(): void {
    Atomics.store(this.words, Word.stop, 1);
    Atomics.notify(this.words, Word.stop);
  }

  /** The worker's pause; true once it shall end. */
  pause(ms: number): boolean {
    return Atomics.wait(this.words, Word.stop, 0, ms) !== 'timed-out';
  }

  /** Changes when there is something new in the buckets or a fault. */
  version(): number {
    return Atomics.load(this.words, Word.version);
  }

  publish(statistics: Readonly<TapStatistics>): void {
    for (const name of Object.keys(Figure) as (keyof typeof Figure)[])
      this.figures[Figure[name]] = statistics[name];
    Atomics.add(this.words, Word.version, 1);
  }

  statistics(): TapStatistics {
    const figures = (Object.keys(Figure) as (keyof typeof Figure)[]).map((name) => [
      name,
      this.figures[Figure[name]],
    ]);
    return Object.fromEntries(figures) as TapStatistics;
  }

  /** It works again after a `fail`. */
  mend(): void {
    if (Atomics.exchange(this.words, Word.faultBytes, 0) !== 0) Atomics.add(this.words, Word.version, 1);
  }

  fail(message: string): void {
    const { written } = new TextEncoder().encodeInto(message, new Uint8Array(FAULT_BYTES));
    const bytes = new TextEncoder().encode(message).subarray(0, written);
    this.text.set(bytes);
    Atomics.store(this.words, Word.faultBytes, bytes.length);
    Atomics.add(this.words, Word.version, 1);
  }

  get fault(): string | undefined {
    const length = Atomics.load(this.words, Word.faultBytes);
    return length === 0 ? undefined : Buffer.from(this.text.subarray(0, length)).toString();
  }
}
