/** Starts the process of an isolate host, with its socket's path and node's own permission flags as arguments. */

import { FUNCTION_DIRECTORY, launchRunner } from '../../confinement/launch.js';
import type { Runtime } from '../../confinement/runtime.js';
import type { SetApart } from '../../confinement/start-apart.js';
import type { CgroupDriver } from '../../linux/cgroup/driver.js';
import type { ChildProcess } from '../../linux/spawn.js';
import type { FunctionScheduling } from '../../policy/harvest/policies.js';
import { SHARES_MODULES } from '../../runner/isolate/to-host.js';
import { ISOLATE } from '../../tunables/index.js';
import { permissionFlags } from './runtime.js';

/** Of the socket, in the directory of the host. */
export const SOCKET_NAME = 'agent.sock';

export interface HostOptions {
  name: string;
  driver: CgroupDriver;
  /** Cores of sandboxes; and those on which the main thread stays. */
  cores: readonly number[];
  housekeepingCores: readonly number[];
  directory: string;
  uid: number;
  runtime: Runtime;
  /** Path inside of what its threads run. */
  program: string;
  /** What a thread compiled is given to the others. */
  sharesModules: boolean;
  scheduling: FunctionScheduling;
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
}

export function launchHost(options: HostOptions, joinPaths: readonly string[]): ChildProcess {
  const { directory, uid, runtime, scheduling, program, setApart, sharesModules } = options;
  const openFiles = ISOLATE.openFilesMax;
  return launchRunner(
    { uid, joinPaths, scheduling, directory, runtime, openFiles, setApart },
    [...ISOLATE.nodeFlags, ...permissionFlags()],
    [program, `${FUNCTION_DIRECTORY}/${SOCKET_NAME}`, ...(sharesModules ? [SHARES_MODULES] : [])],
  );
}
