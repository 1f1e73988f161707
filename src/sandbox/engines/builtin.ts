/** The engines that come with NEMO. The first is the one that functions get which ask for none. */

import { join } from 'node:path';
import type { CgroupDriver } from '../../linux/cgroup/driver.js';
import type { Egress } from '../../network/egress.js';
import type { EngineEntry } from '../engine.js';

export const ENGINE_DEFAULT = 'process';

export interface EngineContext {
  /** Sandboxes' files live below it; every user must be able to pass through the directories above it. */
  directory: string;
  egress: Egress;
  driver: CgroupDriver;
  functionCores: readonly number[];
  housekeepingCores: readonly number[];
}

export function builtinEngines(context: EngineContext): EngineEntry[] {
  const { directory, egress, driver, housekeepingCores } = context;
  // A call may fall back to a housekeeping core.
  const cores = [...new Set([...context.functionCores, ...housekeepingCores])];
  return [
    {
      kind: ENGINE_DEFAULT,
      about: 'a process tree each: namespaces, system call filter, cgroup',
      egress: true,
      async open() {
        const { ProcessEngine } = await import('./process/engine.js');
        return new ProcessEngine({ directory: join(directory, ENGINE_DEFAULT), egress });
      },
    },
    {
      kind: 'isolate',
      about: 'a V8 isolate each, in one sandboxed process per owner',
      variant: ({ owner }) => owner,
      async open() {
        const { IsolateEngine } = await import('./isolate/engine.js');
        return new IsolateEngine({ directory: join(directory, 'isolate'), driver, cores, housekeepingCores });
      },
    },
  ];
}
