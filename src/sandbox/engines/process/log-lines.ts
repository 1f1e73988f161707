/**
 * What a sandbox prints -> lines. Long lines are cut; above a rate lines are dropped and counted; above a byte
 * rate the pipe is not read at all, so that a flood piles up in its own process, within its own memory limit,
 * instead of costing the agent.
 */

import type { Readable } from 'node:stream';
import { SANDBOX } from '../../../tunables.js';

export class LogLines {
  private readonly decoder = new TextDecoder();
  private line = '';
  private cut = false;
  private secondStart = 0;
  private linesThisSecond = 0;
  private bytesThisSecond = 0;
  private dropped = 0;
  private resume: NodeJS.Timeout | undefined;
  private ended = false;
  /** The end of everything read. */
  tail = '';

  constructor(
    private readonly source: Readable,
    private readonly onLine: (timeMs: number, text: string) => void,
  ) {
    source.on('data', (bytes: Buffer) => this.take(bytes));
    source.on('end', () => this.finish());
    source.on('error', () => this.finish());
    source.on('close', () => clearTimeout(this.resume));
  }

  /** The writer is gone: what is left in the pipe is read without pausing. */
  writerEnded(): void {
    this.ended = true;
    clearTimeout(this.resume);
    this.resume = undefined;
    this.source.resume();
  }

  private take(bytes: Buffer): void {
    const nowMs = Date.now();
    if (nowMs - this.secondStart >= 1000) this.newSecond(nowMs);
    this.bytesThisSecond += bytes.length;
    const text = this.decoder.decode(bytes, { stream: true });
    this.tail = (this.tail + text).slice(-SANDBOX.stderrTailChars);
    let start = 0;
    for (let end = text.indexOf('\n'); end >= 0; end = text.indexOf('\n', start)) {
      this.append(text, start, end);
      this.emit(nowMs);
      start = end + 1;
    }
    this.append(text, start, text.length);
    if (this.bytesThisSecond > SANDBOX.logBytesPerSecond && this.resume === undefined && !this.ended) {
      this.source.pause();
      const waitMs = Math.max(1, this.secondStart + 1000 - nowMs);
      this.resume = setTimeout(() => {
        this.resume = undefined;
        this.source.resume();
      }, waitMs);
    }
  }

  private append(text: string, start: number, end: number): void {
    const room = SANDBOX.logLineMaxChars - this.line.length;
    if (end - start > room) this.cut = true;
    if (room > 0) this.line += text.slice(start, Math.min(end, start + room));
  }

  private emit(nowMs: number): void {
    const text = this.cut ? `${this.line}…` : this.line;
    this.line = '';
    this.cut = false;
    if (this.linesThisSecond++ < SANDBOX.logLinesPerSecond) this.onLine(nowMs, text);
    else this.dropped++;
  }

  private newSecond(nowMs: number): void {
    this.secondStart = nowMs;
    this.linesThisSecond = 0;
    this.bytesThisSecond = 0;
    this.reportDropped(nowMs);
  }

  private reportDropped(nowMs: number): void {
    if (this.dropped > 0) this.onLine(nowMs, `… ${this.dropped} lines dropped: the function prints too much`);
    this.dropped = 0;
  }

  private finish(): void {
    const nowMs = Date.now();
    if (this.line !== '') this.emit(nowMs);
    this.reportDropped(nowMs);
  }
}
