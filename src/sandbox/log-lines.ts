/**
 * What a sandbox prints -> lines. Long lines are cut; above a rate lines are dropped and counted; above another one the
 * source is not read at all, so that a flood piles up in its own process, within its own memory limit, instead of
 * costing the agent. Tiny writes are such a flood too: a read costs as much as ten lines. A line that is not ended is
 * one all the same, when nothing has followed it for a while: its sandbox may be kept for an hour.
 */

import type { Readable } from 'node:stream';
import { LineReader } from '../streams/lines.js';
import { Pace } from '../streams/pace.js';
import { Valve } from '../streams/valve.js';
import { LOG } from '../tunables/index.js';
import { type Endings, guarded } from './guarded.js';

export type OnLogLine = (timeMs: number, text: string) => void;

export class LogLines {
  private readonly lines = new LineReader(LOG.lineMaxBytes, (text, cut) => this.emit(text, cut));
  private readonly pace: Pace;
  private nowMs = 0;
  private secondStart = 0;
  private linesThisSecond = 0;
  private dropped = 0;
  private quiet: NodeJS.Timeout | undefined;
  /** The last bytes that were read. */
  tail = '';

  /** `ends`: what is ended if a line cannot be handled. */
  constructor(
    valve: Pick<Valve, 'hold' | 'release'>,
    private readonly onLine: OnLogLine,
    private readonly ends: Pick<Endings, 'onFault'>,
  ) {
    this.pace = new Pace(valve, LOG.tokensPerSecond);
  }

  take(bytes: Buffer): void {
    this.nowMs = Date.now();
    if (this.nowMs - this.secondStart >= 1000) this.newSecond();
    this.pace.spend(LOG.tokensPerRead + Math.floor(bytes.length / LOG.bytesPerToken));
    const end = bytes.length - LOG.stderrTailChars;
    this.tail = (this.tail + bytes.toString('utf8', Math.max(0, end))).slice(-LOG.stderrTailChars);
    this.lines.push(bytes);
    if (this.lines.open && this.quiet === undefined) this.awaitQuiet(LOG.openLineMs);
  }

  /** One timer while there is an open line, however many writes it is made of. */
  private awaitQuiet(ms: number): void {
    this.quiet = setTimeout(
      guarded({ onViolation: () => {}, onFault: (error) => this.ends.onFault(error) }, () => {
        this.quiet = undefined;
        const leftMs = this.nowMs + LOG.openLineMs - Date.now();
        if (leftMs <= 0) this.lines.end();
        else if (this.lines.open) this.awaitQuiet(Math.min(leftMs, LOG.openLineMs));
      }),
      ms,
    ).unref();
  }

  /** The writer has ended: what is left is read without pauses. */
  writerEnded(): void {
    this.pace.stop();
  }

  finish(): void {
    clearTimeout(this.quiet);
    this.pace.stop();
    this.nowMs = Date.now();
    this.lines.end();
    this.reportDropped();
  }

  private emit(text: string, cut: boolean): void {
    this.pace.spend(1);
    if (this.linesThisSecond++ < LOG.linesPerSecond) this.onLine(this.nowMs, cut ? `${text}…` : text);
    else this.dropped++;
  }

  private newSecond(): void {
    this.secondStart = this.nowMs;
    this.linesThisSecond = 0;
    this.reportDropped();
  }

  private reportDropped(): void {
    const { dropped } = this;
    this.dropped = 0;
    if (dropped > 0) this.onLine(this.nowMs, `… ${dropped} lines dropped: the function prints too much`);
  }
}

/** Of a pipe or socket, until it ends. */
export function readLog(source: Readable, ends: Endings, onLine: OnLogLine): LogLines {
  const lines = new LogLines(new Valve(source), onLine, ends);
  const finish = guarded(ends, () => lines.finish());
  source.on(
    'data',
    guarded<Buffer>(ends, (bytes) => lines.take(bytes)),
  );
  source.once('end', finish);
  source.once('error', finish);
  source.once('close', finish);
  return lines;
}
