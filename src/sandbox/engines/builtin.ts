/** The engines that come with NEMO. The first is the one that functions get which ask for none. */

import { join } from 'node:path';
import type { Egress } from '../../network/egress.js';
import type { EngineEntry } from '../engine.js';

export const ENGINE_DEFAULT = 'process';

export interface EngineContext {
  /** Sandboxes' files live below it; every user must be able to pass through the directories above it. */
  directory: string;
  egress: Egress;
}

export function builtinEngines({ directory, egress }: EngineContext): EngineEntry[] {
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
  ];
}
