import { startTicks } from '../../src/linux/process.js';
import type { ProcessId } from '../../src/linux/process-directory.js';

/** The process that has this pid now. */
export function idOf(pid: number): ProcessId {
  return { pid, startTicks: startTicks(pid) ?? 0 };
}
