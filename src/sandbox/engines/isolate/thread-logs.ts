/** What a sandbox without pipes prints, as lines, at the rate that the log takes. */

import type { Socket } from 'node:net';
import { PassThrough } from 'node:stream';
import type { StartOptions } from '../../engine.js';
import { LogLines } from '../process/log-lines.js';

const STDERR = 2;

interface Stream {
  source: PassThrough;
  lines: LogLines;
}

export class ThreadLogs {
  private stdout: Stream | undefined;
  private stderr: Stream | undefined;

  constructor(private readonly options: Pick<StartOptions, 'id' | 'onLog'>) {}

  write(stream: number, text: Buffer, socket: Socket | undefined): void {
    if (stream === STDERR) this.stderr ??= this.open('stderr');
    else this.stdout ??= this.open('stdout');
    const { source } = (stream === STDERR ? this.stderr : this.stdout)!;
    // Above the rate that the log takes, nothing more is read of this sandbox.
    if (source.write(text) || socket === undefined) return;
    socket.pause();
    source.once('drain', () => socket.resume());
  }

  get tail(): string {
    return this.stderr?.lines.tail ?? '';
  }

  end(): void {
    this.stdout?.source.end();
    this.stderr?.source.end();
  }

  /** With the first line: most sandboxes print nothing. */
  private open(stream: 'stdout' | 'stderr'): Stream {
    const source = new PassThrough();
    const { id: sandboxId, onLog } = this.options;
    return {
      source,
      lines: new LogLines(source, (timeMs, text) => onLog({ timeMs, sandboxId, stream, text })),
    };
  }
}
