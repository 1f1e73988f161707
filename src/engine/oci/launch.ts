/**
 * How a container comes to be. A shell joins the cgroup, sets SCHED_IDLE and becomes `unshare`, which holds a pid
 * and a mount namespace around runc: when the agent dies, even by kill -9, the kernel ends all of it. runc then makes the
 * container's own namespaces and stays as its parent, inside the same cgroup.
 */

import {
  JOIN_GROUPS,
  type SetApart,
  type StartSandbox,
  spawnSandbox,
} from '../../confinement/start-apart.js';
import type { ChildProcess } from '../../linux/spawn.js';
import { spawnPiped } from '../../linux/spawn-piped.js';
import { tiedCommand } from '../../linux/tied-process.js';
import type { FunctionScheduling } from '../../policy/harvest/policies.js';
import { overlayCommand } from './rootfs.js';

export interface Launch {
  id: string;
  /** The image: its layers below `store`, and the folder where they are mounted. */
  store: string;
  layers: readonly string[];
  image: string;
  /** runc's own records. */
  stateDirectory: string;
  /** Holds config.json. */
  bundle: string;
  joinPaths: readonly string[];
  scheduling: FunctionScheduling;
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
}

/** Tied to this process: the chain ends if this one was gone before the kernel knew of the tie. */
export function launchCommand({
  id,
  stateDirectory,
  bundle,
  joinPaths,
  scheduling,
  ...from
}: Launch): string[] {
  const runc = ['runc', '--root', stateDirectory, '--log', `${bundle}/runc.log`, 'run'];
  const run = [...runc, '--no-new-keyring', '--preserve-fds', '2', '--bundle', bundle, id];
  return [
    ...['/bin/sh', '-c', JOIN_GROUPS, 'sandbox', ...joinPaths, '--'],
    ...(scheduling === 'idle' ? ['chrt', '-i', '0'] : []),
    ...(scheduling === 'nice' ? ['nice', '-n', '19'] : []),
    ...tiedCommand('unshare', [
      ...['--pid', '--mount-proc', '--fork', '--kill-child=KILL'],
      ...overlayCommand(from.store, from.layers, from.image, run),
    ]).flat(),
  ];
}

export function launchContainer(launch: Launch): ChildProcess {
  const options = {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', GOMAXPROCS: '1' },
    cwd: '/',
    // Ctrl-C in the agent's terminal is for the agent: calls that run are answered first.
    detached: true,
  };
  const start: StartSandbox = ([program, ...args], stdin) =>
    spawnPiped(program!, args, { ...options, stdin });
  return spawnSandbox(launchCommand(launch), start, launch.setApart);
}
