/**
 * What the worker of a measurement (tap, probe, telemetry) shares with those who read it, in any thread: its figures and
 * why it has none. One writer, the worker; only `stop` is written by others.
 *
 *   fault text | words | figures (f64 each) | what a subclass adds
 */

const FAULT_BYTES = 512;
const WORDS = 4;
const WORDS_OFFSET = FAULT_BYTES;
const FIGURES_OFFSET = WORDS_OFFSET + 4 * WORDS;

const Word = { stop: 0, version: 1, faultBytes: 2 } as const;

export class WorkerMemory<Name extends string> {
  private readonly text: Uint8Array;
  private readonly words: Int32Array;
  private readonly values: Float64Array;

  /** `names`: of the figures, in the order in which they lie there. */
  constructor(
    readonly shared: SharedArrayBuffer,
    private readonly names: readonly Name[],
  ) {
    this.text = new Uint8Array(shared, 0, FAULT_BYTES);
    this.words = new Int32Array(shared, WORDS_OFFSET, WORDS);
    this.values = new Float64Array(shared, FIGURES_OFFSET, names.length);
  }

  /** Bytes before what a subclass adds. */
  static bytesFor(figures: number): number {
    return FIGURES_OFFSET + 8 * figures;
  }

  stop(): void {
    Atomics.store(this.words, Word.stop, 1);
    Atomics.notify(this.words, Word.stop);
  }

  /** The worker's pause; true once it shall end. */
  pause(ms: number): boolean {
    return Atomics.wait(this.words, Word.stop, 0, ms) !== 'timed-out';
  }

  /** Changes when there is something new, or a fault. */
  version(): number {
    return Atomics.load(this.words, Word.version);
  }

  publish(figures: Readonly<Record<Name, number>>): void {
    this.names.forEach((name, i) => {
      this.values[i] = figures[name];
    });
    Atomics.add(this.words, Word.version, 1);
  }

  figures(): Record<Name, number> {
    return Object.fromEntries(this.names.map((name, i) => [name, this.values[i]])) as Record<Name, number>;
  }

  /** One figure, without allocation. */
  figure(index: number): number {
    return this.values[index]!;
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

  /** Without allocation. */
  get broken(): boolean {
    return Atomics.load(this.words, Word.faultBytes) !== 0;
  }

  get fault(): string | undefined {
    const length = Atomics.load(this.words, Word.faultBytes);
    return length === 0 ? undefined : Buffer.from(this.text.subarray(0, length)).toString();
  }
}
