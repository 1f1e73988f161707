/** Cores and what they share, from /sys/devices/system/cpu: SMT siblings share pipelines, LLC sharers share a cache. */

import type { CoreFacts } from '../model/core-facts.js';
import { namesIfThere, readIfThere } from './if-there.js';
import { parseCpuList } from './process.js';

const CPU_DIRECTORY = '/sys/devices/system/cpu';

/** All present CPUs, ascending; an offline one has no siblings and package and core -1. */
export function readTopology(): CoreFacts[] {
  const online = new Set(parseCpuList(read('online') ?? ''));
  const isolated = new Set(parseCpuList(read('isolated') ?? ''));
  // Reads "(null)" where the kernel has the feature but no core uses it.
  const nohzFull = new Set(parseCpuList(read('nohz_full') ?? ''));
  return parseCpuList(read('present') ?? '').map((id) => {
    const others = (path: string) => parseCpuList(read(`cpu${id}/${path}`) ?? '').filter((cpu) => cpu !== id);
    return {
      id,
      online: online.has(id),
      packageId: Number(read(`cpu${id}/topology/physical_package_id`) ?? -1),
      coreId: Number(read(`cpu${id}/topology/core_id`) ?? -1),
      siblings: others('topology/thread_siblings_list'),
      llcSharers: others(`cache/${lastLevelCache(id)}/shared_cpu_list`),
      isolated: isolated.has(id),
      nohzFull: nohzFull.has(id),
    };
  });
}

/** Directory name of the cache with the highest level. */
function lastLevelCache(cpu: number): string {
  let best = '';
  let bestLevel = 0;
  for (const name of namesIfThere(`${CPU_DIRECTORY}/cpu${cpu}/cache`)) {
    const level = Number(read(`cpu${cpu}/cache/${name}/level`) ?? 0);
    if (level > bestLevel) [best, bestLevel] = [name, level];
  }
  return best;
}

function read(path: string): string | undefined {
  return readIfThere(`${CPU_DIRECTORY}/${path}`)?.trim();
}
