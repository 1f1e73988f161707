/**
 * The command line of a confined program: the launch chain of process sandboxes, with one directory to write to where
 * the program has something to unpack. That directory may lie where its user could not pass, so root mounts it at a place
 * that is open, in a mount namespace of this process alone.
 */

import { launchCommand } from '../launch.js';
import { OUT_INSIDE } from './protocol.js';
import type { ConfinedRuntimes, ProgramName } from './runtime.js';

/** What a lease of a confined place consists of; plain, so that it crosses threads. */
export interface ConfinedPlace {
  uid: number;
  joinPaths: readonly string[];
  /** An empty directory, open to all. */
  emptyDirectory: string;
  /** Where the directory to write to is mounted. */
  mountPoint: string;
  runtimes: ConfinedRuntimes;
}

export interface ConfinedProgram {
  program: ProgramName;
  args?: readonly string[];
  /** Belongs to the place's user; the program sees it as OUT_INSIDE. */
  writable?: string;
  /** Most that one file may have. */
  fileMaxBytes?: number;
  /** CPU time that one process of it may use. */
  cpuMaxSeconds?: number;
}

const HEAP_FLAGS = ['--v8-pool-size=1', '--max-semi-space-size=8', '--no-deprecation', '--no-warnings'];
const MOUNT = 'mount --bind "$1" "$2" && shift 2 && exec "$@"';

/** Pure, but for the devices of the chain. */
export function confinedCommand(place: ConfinedPlace, what: ConfinedProgram): string[] {
  const runtime = place.runtimes[what.program];
  const { uid, joinPaths, emptyDirectory: directory, mountPoint } = place;
  const command = launchCommand(
    {
      ...{ uid, joinPaths, directory, runtime, scheduling: 'nice' },
      ...(what.writable === undefined ? {} : { writable: [mountPoint, OUT_INSIDE] as const }),
      ...(what.fileMaxBytes === undefined ? {} : { fileMaxBytes: what.fileMaxBytes }),
      ...(what.cpuMaxSeconds === undefined ? {} : { cpuMaxSeconds: what.cpuMaxSeconds }),
    },
    [runtime.nodeInside, ...HEAP_FLAGS, runtime.runnerInside, ...(what.args ?? [])],
  );
  if (what.writable === undefined) return command;
  return [
    ...['unshare', '--mount', '--propagation', 'private'],
    ...['/bin/sh', '-c', MOUNT, 'mount', what.writable, mountPoint, ...command],
  ];
}
