/** The end of a function's thread in a process that it may share, as an exit and in words. */

import type { SandboxExit } from '../../sandbox/engine.js';

/** The runner's own word for a sandbox beyond its memory limit. */
export const EXIT_OOM = 72;

export interface ThreadEnd {
  oom: boolean;
  code: number;
  /** The process ended, and the thread with it. */
  host: boolean;
  /** Of the process. */
  stderrTail: string;
}

/** `asked`: it was to end. `ownTail`: what the function said last. */
export function threadExit(
  { oom, code, host, stderrTail }: ThreadEnd,
  asked: boolean,
  ownTail: string,
): SandboxExit {
  const cause = oom || code === EXIT_OOM ? 'oom' : asked ? 'killed' : host ? 'crashed' : 'exited';
  return { cause, exitCode: code, signal: null, stderrTail: host ? stderrTail : ownTail };
}

/** In words. */
export function threadEndWords({ cause, exitCode }: SandboxExit): string {
  return cause === 'crashed'
    ? 'ended with its process, which others of its sharing group may have ended'
    : `ended with exit code ${exitCode}`;
}
