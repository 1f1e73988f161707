/**
 * How a sandbox's first process comes to be. One chain of execs, in an order that matters: a root shell joins the
 * cgroup, then limits and SCHED_IDLE are set, then root is given up for good, and only then namespaces are made
 * and node starts. Every process of the sandbox inherits all of it from birth.
 */

import { statSync } from 'node:fs';
import type { FunctionScheduling } from '../../../harvest/policies.js';
import { openFilesAtMost } from '../../../linux/open-files.js';
import { type ChildProcess, spawn } from '../../../linux/spawn.js';
import { whileParentLives } from '../../../linux/tied-process.js';
import { SANDBOX } from '../../../tunables.js';
import type { Runtime } from './runtime.js';

/** Where a sandbox finds its function. */
export const FUNCTION_DIRECTORY = '/function';

/** In that directory; written when a function may reach something. */
export const HOSTS_NAME = 'hosts';

export interface Launch {
  uid: number;
  joinPaths: readonly string[];
  scheduling: FunctionScheduling;
  /** Host directory that becomes /function. */
  directory: string;
  runtime: Runtime;
  openFiles?: number;
  /** Size of /dev/shm, which is private and counts against the sandbox's memory; without it there is none. */
  sharedMemoryBytes?: number;
  /** Host directory to write to, and where it is inside. Without it there is none but /tmp. */
  writable?: readonly [host: string, inside: string];
  /** Most that one file may have. */
  fileMaxBytes?: number;
  /** CPU time that one process may use; SIGXCPU then. */
  cpuMaxSeconds?: number;
  /** Device files to see, with the group that may open each. */
  devices?: readonly string[];
}

/** $1: filter file, then the files to join, `--`, and the program. fd 4 becomes the filter. */
const SCRIPT = `exec 4<"$1"; shift
echo 1000 >/proc/self/oom_score_adj
while [ "$1" != -- ]; do echo 0 >"$1" || exit 97; shift; done
shift; exec "$@"`;

/** The whole command line. */
export function launchCommand(launch: Launch, program: readonly string[]): string[] {
  const { uid, runtime, sharedMemoryBytes = 0, devices = [] } = launch;
  const { writable, fileMaxBytes, cpuMaxSeconds } = launch;
  const openFiles = openFilesAtMost(launch.openFiles ?? SANDBOX.openFilesMax);
  const groups = devices.map((path) => statSync(path).gid).join();
  const binds = runtime.binds.flatMap(([host, inside]) => ['--ro-bind', host, inside]);
  return [
    '/bin/sh',
    '-c',
    SCRIPT,
    'sandbox',
    runtime.seccompPath,
    ...launch.joinPaths,
    '--',
    // Without a nice allowance the kernel itself refuses the way out of SCHED_IDLE. With a limit of 0 a crash would still
    // start the host's handler of core dumps, as root, on any core and on nobody's account; with 1 it starts nothing.
    ...['prlimit', '--nice=0:0', '--rtprio=0:0', '--core=1:1', `--nofile=${openFiles}:${openFiles}`],
    ...(fileMaxBytes === undefined ? [] : [`--fsize=${fileMaxBytes}:${fileMaxBytes}`]),
    ...(cpuMaxSeconds === undefined ? [] : [`--cpu=${cpuMaxSeconds}:${cpuMaxSeconds + 1}`]),
    ...(launch.scheduling === 'idle' ? ['chrt', '-i', '0'] : []),
    ...(launch.scheduling === 'nice' ? ['nice', '-n', '19'] : []),
    ...['setpriv', '--reuid', `${uid}`, '--regid', `${uid}`],
    ...(groups === '' ? ['--clear-groups'] : ['--groups', groups]),
    // bwrap's own tie comes too late for an agent that dies now. Giving up root would have undone an earlier one.
    ...['--no-new-privs', '--pdeathsig', 'KILL', ...whileParentLives('bwrap', [])],
    ...['--unshare-all', '--die-with-parent', '--new-session', '--clearenv'],
    ...[
      '--hostname',
      'sandbox',
      '--setenv',
      'HOME',
      '/tmp',
      '--setenv',
      'PATH',
      '/usr/bin',
      '--setenv',
      'TZ',
      'UTC',
    ],
    ...binds,
    ...['--ro-bind', launch.directory, FUNCTION_DIRECTORY],
    ...(writable === undefined ? [] : ['--bind', ...writable]),
    ...['--symlink', `${FUNCTION_DIRECTORY}/${HOSTS_NAME}`, '/etc/hosts'],
    // Written, /proc would let a function leave its rank for the kernel's out-of-memory killer.
    ...['--proc', '/proc', '--remount-ro', '/proc', '--dev', '/dev'],
    ...devices.flatMap((path) => ['--dev-bind', path, path]),
    ...['--remount-ro', '/dev'],
    ...(sharedMemoryBytes > 0 ? ['--size', `${sharedMemoryBytes}`, '--tmpfs', '/dev/shm'] : []),
    ...['--size', `${SANDBOX.tmpMaxBytes}`, '--tmpfs', '/tmp', '--remount-ro', '/'],
    ...['--chdir', '/tmp', '--seccomp', '4', '--', ...program],
  ];
}

/** Starts the chain with node and the runner at its end. stdio: nothing in, two pipes out, fd 3 the socket. */
export function launchRunner(
  launch: Launch,
  nodeFlags: readonly string[] = SANDBOX.nodeFlags,
  args: readonly string[] = [],
): ChildProcess {
  const { runtime } = launch;
  const [shell, ...rest] = launchCommand(launch, [
    runtime.nodeInside,
    ...nodeFlags,
    runtime.runnerInside,
    ...args,
  ]);
  return spawn(shell!, rest, {
    stdio: ['ignore', 'pipe', 'pipe', 'pipe'],
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    cwd: '/',
    // Ctrl-C in the agent's terminal is for the agent: calls that run are answered first.
    detached: true,
  });
}
