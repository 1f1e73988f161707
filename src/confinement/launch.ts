/**
 * How a sandbox's first process comes to be. One chain of execs, in an order that matters: a root shell joins the
 * cgroup, then limits and SCHED_IDLE are set, then root is given up for good, and only then namespaces are made
 * and node starts. Every process of the sandbox inherits all of it from birth.
 */

import { existsSync, statSync } from 'node:fs';
import { openFilesAtMost } from '../linux/open-files.js';
import type { ChildProcess } from '../linux/spawn.js';
import { spawnPiped } from '../linux/spawn-piped.js';
import { whileParentLives } from '../linux/tied-process.js';
import type { FunctionScheduling } from '../policy/harvest/policies.js';
import { SANDBOX } from '../tunables/index.js';
import type { Runtime } from './runtime.js';
import { JOIN_GROUPS, type SetApart, type StartSandbox, spawnSandbox } from './start-apart.js';
import { ETC_INSIDE, LOCKING_PROC_FILES, OWN_FILES, SHARED_FILES, USER_NAME } from './surroundings.js';

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
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
  /** Device files to see, with the group that may open each. */
  devices?: readonly string[];
}

/** $1: filter file, then the files to join, `--`, and the program. fd 5 becomes the filter. */
const SCRIPT = `exec 5<"$1"; shift
echo 1000 >/proc/self/oom_score_adj
${JOIN_GROUPS}`;

/** $1: options, $2: where. In a mount namespace of its own. A kernel without overlays shows the host's /usr itself. */
const OWN_USR = `mount -t overlay nemo-usr -o "$1" "$2" 2>/dev/null || mount --bind /usr "$2" || exit 98
shift 2; exec "$@"`;

function overlayOf({ ownUsr }: Runtime): string[] {
  if (ownUsr === undefined) return [];
  const options = `ro,nosuid,nodev,lowerdir=${ownUsr.empty}:/usr`;
  return [
    ...['unshare', '--mount', '--propagation', 'private'],
    ...['/bin/sh', '-c', OWN_USR, 'mount', options, ownUsr.at],
  ];
}

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
    ...overlayOf(runtime),
    // Without a nice allowance the kernel itself refuses the way out of SCHED_IDLE. With a limit of 0 a crash would still
    // start the host's handler of core dumps, as root, on any core and on nobody's account; with 1 it starts nothing.
    ...['prlimit', '--nice=0:0', '--rtprio=0:0', '--core=1:1', `--nofile=${openFiles}:${openFiles}`],
    `--sigpending=${SANDBOX.signalsMax}:${SANDBOX.signalsMax}`,
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
      ...['--setenv', 'LANG', 'C.UTF-8', '--setenv', 'USER', USER_NAME, '--setenv', 'LOGNAME', USER_NAME],
    ],
    ...binds,
    ...['--ro-bind', launch.directory, FUNCTION_DIRECTORY],
    ...(writable === undefined ? [] : ['--bind', ...writable]),
    ...OWN_FILES.flatMap((name) => ['--symlink', `${FUNCTION_DIRECTORY}/${name}`, `/etc/${name}`]),
    ...Object.keys(SHARED_FILES).flatMap((name) => ['--symlink', `${ETC_INSIDE}/${name}`, `/etc/${name}`]),
    ...['--symlink', '/usr/share/zoneinfo/UTC', '/etc/localtime', '--symlink', '/proc/mounts', '/etc/mtab'],
    ...['--symlink', '/tmp', '/var/tmp'],
    // Written, /proc would let a function leave its rank for the kernel's out-of-memory killer.
    ...['--proc', '/proc', ...maskedFiles(), '--remount-ro', '/proc', '--dev', '/dev'],
    ...devices.flatMap((path) => ['--dev-bind', path, path]),
    ...['--remount-ro', '/dev'],
    ...(sharedMemoryBytes > 0 ? scratch('/dev/shm', sharedMemoryBytes) : []),
    ...[...scratch('/tmp', SANDBOX.tmpMaxBytes), '--remount-ro', '/'],
    ...['--chdir', '/tmp', '--seccomp', '5', '--', ...program],
  ];
}

/** In a mount without devices nothing opens it. */
function maskedFiles(): string[] {
  return LOCKING_PROC_FILES.flatMap((path) => (existsSync(path) ? ['--ro-bind', '/dev/null', path] : []));
}

/** As every Linux has it: for all users, who cannot remove what is another's. */
function scratch(path: string, bytes: number): string[] {
  return ['--perms', '1777', '--size', `${bytes}`, '--tmpfs', path];
}

/** Starts the chain with node and the runner at its end. stdio: nothing in, two pipes out, 3 and 4 those to and from the agent. */
export function launchRunner(
  launch: Launch,
  nodeFlags: readonly string[] = SANDBOX.nodeFlags,
  args: readonly string[] = [],
): ChildProcess {
  const { runtime, setApart } = launch;
  const command = launchCommand(launch, [runtime.nodeInside, ...nodeFlags, runtime.runnerInside, ...args]);
  const options = {
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
    cwd: '/',
    // Ctrl-C in the agent's terminal is for the agent: calls that run are answered first.
    detached: true,
  };
  const start: StartSandbox = ([program, ...args], stdin) =>
    spawnPiped(program!, args, { ...options, stdin });
  return spawnSandbox(command, start, setApart);
}
