/**
 * Bytes of a peer that may send anything -> lines of text. It never holds more than one line of `maxBytes`: what a
 * line has beyond that is dropped, and the receiver is told. The only line reader for what the agent did not write.
 */

import { Buffer } from 'node:buffer';

const NEWLINE = 10;
const NOTHING = Buffer.alloc(0);
const FIRST_BYTES = 256;

/** `cut`: the line was longer, this is its beginning. */
export type OnLine = (text: string, cut: boolean) => void;

export class LineReader {
  /** The beginning of a line whose end has not come yet. */
  private held = NOTHING;
  private heldBytes = 0;
  private cut = false;

  constructor(
    private readonly maxBytes: number,
    private readonly onLine: OnLine,
  ) {}

  push(bytes: Buffer): void {
    let start = 0;
    // A loop of our own: a flood of empty lines would otherwise cost a native call for each.
    for (let at = 0; at < bytes.length; at++) {
      if (bytes[at] !== NEWLINE) continue;
      const whole = this.heldBytes === 0 && !this.cut && at - start <= this.maxBytes;
      const from = start;
      start = at + 1;
      if (whole) this.onLine(at === from ? '' : bytes.toString('utf8', from, at), false);
      else {
        this.hold(bytes, from, at);
        this.finishLine();
      }
    }
    this.hold(bytes, start, bytes.length);
  }

  /** There is a line that has no end yet. */
  get open(): boolean {
    return this.heldBytes > 0 || this.cut;
  }

  /** The line that has no end yet is too long already. */
  get overlong(): boolean {
    return this.cut;
  }

  /** The stream ended: what came after its last newline is a line too. */
  end(): void {
    if (this.open) this.finishLine();
  }

  private finishLine(): void {
    const text = this.held.toString('utf8', 0, this.heldBytes);
    const { cut } = this;
    this.heldBytes = 0;
    this.cut = false;
    this.onLine(text, cut);
  }

  private hold(bytes: Buffer, start: number, end: number): void {
    const room = this.maxBytes - this.heldBytes;
    if (end - start > room) this.cut = true;
    const taken = Math.min(end - start, room);
    if (taken <= 0) return;
    const wanted = this.heldBytes + taken;
    if (wanted > this.held.length) {
      const larger = Math.max(FIRST_BYTES, wanted, 2 * this.held.length);
      const next = Buffer.allocUnsafe(Math.min(larger, this.maxBytes));
      this.held.copy(next, 0, 0, this.heldBytes);
      this.held = next;
    }
    bytes.copy(this.held, this.heldBytes, start, start + taken);
    this.heldBytes = wanted;
  }
}
