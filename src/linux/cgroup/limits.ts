/** What the drivers of both versions set in the same way. */

import type { Cgroup, CgroupLimits } from './driver.js';
import { tryWrite } from './files.js';

export function applyLimits(group: Cgroup, { memoryMaxBytes, pidsMax, cpus }: CgroupLimits): void {
  if (memoryMaxBytes !== undefined) group.setMemoryMax(memoryMaxBytes);
  if (pidsMax !== undefined) group.setPidsMax(pidsMax);
  if (cpus !== undefined) group.setCpus(cpus);
}

/**
 * Marks a root group `cpu.idle`; kernels before 5.15 have no such file, and `least` is written instead: the smallest
 * share that there is. True if it was marked.
 */
export function yieldToOthers(
  directory: string,
  idle: boolean,
  least: { file: string; value: number },
): boolean {
  if (!idle) {
    tryWrite(`${directory}/cpu.idle`, 0);
    return false;
  }
  if (tryWrite(`${directory}/cpu.idle`, 1)) return true;
  tryWrite(`${directory}/${least.file}`, least.value);
  return false;
}
