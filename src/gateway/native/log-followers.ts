/**
 * Who follows what one function prints. Lines are written down once for all of them, and sent together: the first at once,
 * those behind it a moment later. A follower that does not read, or a function that prints more than there is room for in
 * that moment, costs lines, and a line says how many.
 */

import type { ServerResponse } from 'node:http';
import type { LogLine } from '../../model/function.js';
import type { LogBook } from '../../model/platform.js';
import { GATEWAY_HTTP } from '../../tunables/index.js';

export class LogFollowers {
  /** With the lines that each has lost since the last that it got. */
  private readonly followers = new Map<ServerResponse, number>();
  private readonly stop: () => void;
  private timer: NodeJS.Timeout | undefined;
  /** What is to be sent; how many lines that is, and how many had no room in it. */
  private text = '';
  private lines = 0;
  private beyond = 0;

  constructor(
    logs: LogBook,
    private readonly functionName: string,
  ) {
    this.stop = logs.follow(functionName, (line) => this.take(line));
  }

  /** It has got what was printed so far. */
  add(response: ServerResponse): void {
    this.send();
    this.followers.set(response, 0);
  }

  /** True if it was the last one: nobody is told anything any more. */
  remove(response: ServerResponse): boolean {
    this.followers.delete(response);
    if (this.followers.size > 0) return false;
    clearTimeout(this.timer);
    this.stop();
    return true;
  }

  end(): void {
    this.send();
    for (const response of this.followers.keys()) response.end();
  }

  private take(line: LogLine): void {
    if (this.text.length < GATEWAY_HTTP.logBatchChars) {
      this.text += asLine(line);
      this.lines++;
    } else this.beyond++;
    if (this.timer !== undefined) return;
    this.send();
    this.timer = setTimeout(() => {
      this.timer = undefined;
      this.send();
    }, GATEWAY_HTTP.logBatchMs).unref();
  }

  private send(): void {
    const { text, lines, beyond } = this;
    this.text = '';
    this.lines = this.beyond = 0;
    if (lines === 0) return;
    const bytes = Buffer.from(beyond > 0 ? text + this.lostLine(beyond, 'they were too many') : text);
    for (const [response, lost] of this.followers) {
      if (response.writableEnded || response.destroyed) continue;
      if (response.writableLength > GATEWAY_HTTP.backlogPauseBytes) {
        this.followers.set(response, lost + lines + beyond);
        continue;
      }
      if (lost > 0) response.write(this.lostLine(lost, 'the reader was too slow'));
      response.write(bytes);
      this.followers.set(response, 0);
    }
  }

  private lostLine(lost: number, why: string): string {
    const text = `(${lost} lines lost: ${why})`;
    return asLine({
      ...{ timeMs: Date.now(), functionName: this.functionName, sandboxId: '' },
      ...{ stream: 'stderr', text },
    });
  }
}

export function asLine(line: LogLine): string {
  return `${JSON.stringify(line)}\n`;
}
