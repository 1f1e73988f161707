/** One progress line on stderr: a bar with the time left, rewritten in place on a terminal, a line a step elsewhere. */

import type { WriteStream } from 'node:tty';
import { printable } from '../model/printable.js';

const WIDTH = 24;

export class Progress {
  private readonly startedMs = performance.now();
  private last = '';

  constructor(private readonly stream: WriteStream | NodeJS.WriteStream) {}

  step(done: number, total: number, what: string): void {
    const filled = total === 0 ? 0 : Math.round((WIDTH * done) / total);
    const elapsedS = (performance.now() - this.startedMs) / 1000;
    const leftS = done === 0 ? undefined : (elapsedS / done) * (total - done);
    const left = leftS === undefined || done === total ? '' : `, about ${Math.ceil(leftS)} s left`;
    this.say(`[${'#'.repeat(filled)}${'.'.repeat(WIDTH - filled)}] ${done}/${total} ${what}${left}`);
  }

  say(text: string): void {
    const line = printable(text);
    if (line === this.last) return;
    this.last = line;
    this.stream.write(this.stream.isTTY ? `\r\x1b[K${line}` : `${line}\n`);
  }

  /** Leaves the terminal on a fresh line. */
  end(): void {
    if (this.stream.isTTY && this.last !== '') this.stream.write('\r\x1b[K');
    this.last = '';
  }
}
