/** Errors for the ends of sandboxes, the same for every engine. */

import type { Cgroup } from '../linux/cgroup/driver.js';
import { NemoError } from '../model/errors.js';
import { logger } from '../model/logger.js';
import type { SandboxExit } from './engine.js';

export function startError(id: string, reason: string, stderrTail = ''): NemoError {
  return new NemoError('SANDBOX_START', `sandbox ${id} did not start: ${reason}`, {
    hint: 'run `nemo doctor` to see what this host lacks',
    ...(stderrTail === '' ? {} : { details: { stderrTail } }),
  });
}

/** It ended because it was asked to. */
export function endError(id: string, functionName: string, what: string, started: boolean): NemoError {
  return new NemoError('FUNCTION_EXIT', `the sandbox ${id} of ${functionName || 'no function'} ${what}`, {
    details: { sandboxId: id, started },
  });
}

/** It is about to end, and the call has not begun in it: it can be sent elsewhere. */
export function notTaken(functionName: string): NemoError {
  return new NemoError('FUNCTION_EXIT', `a sandbox of ${functionName} ended before the call began`, {
    details: { started: false, drains: true },
  });
}

/** It ended by itself. `why`: for example `ended with exit code 3`. */
export function exitError(
  id: string,
  functionName: string,
  exit: SandboxExit,
  why: string,
  started: boolean,
  otherwise: 'FUNCTION_EXIT' | 'FUNCTION_LOAD' = 'FUNCTION_EXIT',
): NemoError {
  const details = { sandboxId: id, started, stderrTail: exit.stderrTail };
  if (exit.cause === 'oom') {
    return new NemoError('FUNCTION_OOM', `${functionName} used more memory than its limit`, {
      hint: 'deploy it with more --memory, or let it keep less',
      details,
    });
  }
  return new NemoError(otherwise, `the sandbox of ${functionName} ${why}`, {
    hint: 'return or throw instead of ending the process; `nemo logs` shows what it printed',
    details,
  });
}

/** The last step of an end. A failure here harms nothing, but is logged. */
export async function removeGroup(cgroup: Cgroup, owner: string): Promise<void> {
  await cgroup.remove().catch((error: unknown) => {
    logger.warn({ err: error }, `cgroup of ${owner} is left behind: ${String(error)}`);
  });
}

/** A promise settled from outside, once. */
export class Deferred<T = void> {
  readonly promise: Promise<T>;
  resolve!: (value: T) => void;
  reject!: (error: NemoError) => void;

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // Its owner may have gone when it is rejected.
    this.promise.catch(() => {});
  }

  async within(timeoutMs: number, error: () => NemoError): Promise<T> {
    const timer = setTimeout(() => this.reject(error()), timeoutMs);
    try {
      return await this.promise;
    } finally {
      clearTimeout(timer);
    }
  }
}
