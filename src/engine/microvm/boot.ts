/** Boots a machine and waits until its runner has done ahead what every function will need: what a stem is. */

import type { ChildProcess } from '../../linux/spawn.js';
import { NemoError } from '../../model/errors.js';
import { Channel } from '../../sandbox/channel.js';
import { Deferred } from '../../sandbox/ends.js';
import type { Endings } from '../../sandbox/guarded.js';
import { readLog } from '../../sandbox/log-lines.js';
import { MICROVM } from '../../tunables/index.js';
import { INIT_MARK } from './guest-image.js';
import { Fd, socketOf } from './machine.js';

export interface BootLimits {
  timeoutMs: number;
  /** The guest's own first program has to run by then. */
  initTimeoutMs: number;
}

/** Throws SANDBOX_START with the end of the console. */
export async function untilReady(
  child: ChildProcess,
  { timeoutMs, initTimeoutMs }: BootLimits,
): Promise<void> {
  const ready = new Deferred();
  let begun = false;
  let initTimer: NodeJS.Timeout | undefined;
  const ends: Endings = {
    onViolation: (reason) => ready.reject(failed(`said what makes no sense: ${reason}`)),
    onFault: (error) => ready.reject(error),
  };
  const hear = (_timeMs: number, line: string): void => {
    if (!line.includes(INIT_MARK)) return;
    begun = true;
    clearTimeout(initTimer);
  };
  const outputs = [child.stderr!, socketOf(child, Fd.console)].map((output) => readLog(output, ends, hear));
  const failed = (why: string): NemoError => {
    const tail = outputs
      .map((output) => output.tail)
      .join('')
      .replace(/\r/g, '')
      .trimEnd()
      .slice(-MICROVM.consoleTailChars);
    return new NemoError(
      'SANDBOX_START',
      `the virtual machine ${why}${tail === '' ? '; it wrote nothing to its console' : `; the end of its console:\n${tail}`}`,
      {
        hint: 'leave microvm.kernel out for the kernel that NEMO fetches',
        details: { console: tail, hung: !begun && child.exitCode === null },
      },
    );
  };
  child.once('error', (error) => ready.reject(failed(`was not started: ${error.message}`)));
  child.once('exit', (code, signal) => {
    const full = signal === 'SIGBUS' || code === 128 + 7 ? ' (the disk of its memory file may be full)' : '';
    // What it wrote last is still in the pipe.
    setTimeout(() => ready.reject(failed(`ended with ${signal ?? `exit code ${code}`}${full}`)), 50);
  });
  let answers = 0;
  const channel = new Channel(socketOf(child, Fd.runner), {
    ...ends,
    // First that it is there, then that it has rehearsed what every function will need.
    onReady: () => (answers++ === 0 ? channel.settle() : ready.resolve()),
    onLoaded: () => {},
    onLoadFailed: () => {},
  });
  const late = (): void => ready.reject(failed(`did not start its first program within ${initTimeoutMs} ms`));
  initTimer = setTimeout(late, initTimeoutMs);
  try {
    await ready.within(timeoutMs, () => failed(`was not ready within ${timeoutMs} ms`));
  } finally {
    clearTimeout(initTimer);
  }
}
