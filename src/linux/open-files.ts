/** How many files a program that is started from here may have open: a limit of this process's own cannot be raised by all. */

import { readFileSync } from 'node:fs';
import { CAP_SYS_RESOURCE, hasCapability } from './capabilities.js';

let most: number | undefined;

/** `wanted`, or less where the kernel would refuse that. */
export function openFilesAtMost(wanted: number): number {
  most ??= hardLimit();
  return Math.min(wanted, most);
}

function hardLimit(): number {
  if (hasCapability(CAP_SYS_RESOURCE)) return Number.POSITIVE_INFINITY;
  const [, hard = 'unlimited'] =
    /^Max open files\s+\S+\s+(\S+)/m.exec(readFileSync('/proc/self/limits', 'latin1')) ?? [];
  return hard === 'unlimited' ? Number.POSITIVE_INFINITY : Number(hard);
}
