/**
 * What a call of a program leaves running ends with it: it would hold its output open, and in time every process that
 * the sandbox may have. The call's process group goes; where no other call runs, so does all else in the sandbox but
 * the runner, of which nothing could belong to a call that is still wanted.
 */

import { readdirSync, readFileSync } from 'node:fs';

/** In the environment of a call's program, and so of all that it starts: which of the runner's calls it is. */
export const MARK = 'NEMO_CALL';

/** `pid`: of the program, which led its group. `alone`: no other call runs in this sandbox. */
export function endLeftovers(pid: number, mark: string, alone: boolean): void {
  // -1: every process of this sandbox's namespace but its first and this one.
  end(alone ? -1 : -pid);
  if (alone) return;
  for (const one of processes()) if (one !== process.pid && markOf(one) === mark) end(one);
}

function end(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    // Nothing was left.
  }
}

function processes(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 1);
}

function markOf(pid: number): string | undefined {
  try {
    return /(?:^|\0)NEMO_CALL=([^\0]*)/.exec(readFileSync(`/proc/${pid}/environ`, 'latin1'))?.[1];
  } catch {
    return undefined;
  }
}
