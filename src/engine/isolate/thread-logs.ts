/** What a sandbox without pipes prints, as lines, at the rate that the log takes. */

import type { StartOptions } from '../../sandbox/engine.js';
import { type Endings, settleAll } from '../../sandbox/guarded.js';
import { LogLines } from '../../sandbox/log-lines.js';
import type { Valve } from '../../streams/valve.js';

const STDERR = 2;

export class ThreadLogs {
  private stdout: LogLines | undefined;
  private stderr: LogLines | undefined;
  /** Of the socket that spoke last. */
  private valve!: Valve;

  constructor(
    private readonly options: Pick<StartOptions, 'id' | 'onLog'>,
    private readonly ends: Pick<Endings, 'onFault'>,
  ) {}

  /** `valve`: of the socket that it came from. Above the rate that the log takes, nothing more is read of it. */
  write(stream: number, text: Buffer, valve: Valve): void {
    this.valve = valve;
    if (stream === STDERR) this.stderr ??= this.open('stderr');
    else this.stdout ??= this.open('stdout');
    (stream === STDERR ? this.stderr : this.stdout)!.take(text);
  }

  /** A line of NEMO's own. */
  say(message: string): void {
    const { id: sandboxId, onLog } = this.options;
    onLog({ timeMs: Date.now(), sandboxId, stream: 'stderr', text: `nemo: ${message}` });
  }

  get tail(): string {
    return this.stderr?.tail ?? '';
  }

  /** Told from what waits for the thread's end, which its last words must not break. */
  end(): void {
    settleAll([this.stdout, this.stderr], (lines) => lines?.finish());
  }

  /** With the first line: most sandboxes print nothing. */
  private open(stream: 'stdout' | 'stderr'): LogLines {
    const { id: sandboxId, onLog } = this.options;
    let held: Valve | undefined;
    const hold = (): void => {
      held = this.valve;
      held.hold();
    };
    const release = (): void => held?.release();
    return new LogLines(
      { hold, release },
      (timeMs, text) => onLog({ timeMs, sandboxId, stream, text }),
      this.ends,
    );
  }
}
