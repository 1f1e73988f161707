/**
 * A sandbox's config.json for runc. No capability, no network but an empty namespace's loopback, everything read-only
 * but a bounded /tmp and the image's volumes. Pure. The cgroup is NEMO's own: no resources are named, so runc sets none.
 */

import { seccompProfile } from '../../confinement/seccomp/profile.js';
import { LOCKING_PROC_FILES } from '../../confinement/surroundings.js';
import { openFilesAtMost } from '../../linux/open-files.js';
import { OCI, SANDBOX } from '../../tunables/index.js';
import type { ImagePlan } from './plan.js';
import { HOSTNAME, NEMO_DIRECTORY } from './rootfs.js';

export interface SpecInput {
  plan: ImagePlan;
  uid: number;
  /** Host path of the mounted image. */
  root: string;
  /** Host directory that becomes /.nemo/function. */
  directory: string;
  runner: string;
  busybox: string;
  cgroupPath: string;
}

/**
 * Waits until the sandbox gets its function, takes that function's environment from a file, and becomes the image's
 * program. Environment in a file, not in config.json or an argument: stems are made before it is known.
 */
const SHIM = [
  `cd "$1" || exit 127; shift`,
  'echo ready >&3',
  'read -r go <&4 || exit 0',
  `. ${NEMO_DIRECTORY}/function/env`,
  'exec 3>&- 4<&-',
  'exec "$@"',
].join('\n');

export function containerSpec(input: SpecInput): Record<string, unknown> {
  const { plan, uid, root, directory, runner, busybox, cgroupPath } = input;
  const { run } = plan;
  const bind = (source: string, name: string) => ({
    destination: `${NEMO_DIRECTORY}/${name}`,
    type: 'bind',
    source,
    options: ['bind', 'ro', 'nosuid', 'nodev', 'rprivate'],
  });
  const scratch = (destination: string, bytes: number = SANDBOX.tmpMaxBytes, more: string[] = []) => ({
    destination,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', 'nodev', 'mode=1777', `size=${bytes}`, `nr_inodes=${OCI.tmpFilesMax}`, ...more],
  });
  const args =
    run.kind === 'node'
      ? [run.node, ...SANDBOX.nodeFlags, `${NEMO_DIRECTORY}/runner/main.js`]
      : [`${NEMO_DIRECTORY}/busybox`, 'sh', '-c', SHIM, 'sh', plan.cwd, ...run.args];
  const fixed = (type: string, limit: number) => ({ type, hard: limit, soft: limit });
  return {
    ociVersion: '1.0.2',
    hostname: HOSTNAME,
    root: { path: root, readonly: true },
    process: {
      user: { uid, gid: uid },
      args,
      env: ['HOME=/tmp', ...plan.env, ...(run.kind === 'http' ? [`PORT=${run.port}`] : [])],
      cwd: '/',
      capabilities: { bounding: [], effective: [], inheritable: [], permitted: [], ambient: [] },
      noNewPrivileges: true,
      oomScoreAdj: 1000,
      rlimits: [
        fixed('RLIMIT_NOFILE', openFilesAtMost(SANDBOX.openFilesMax)),
        // With 0 a crash would still start the host's handler of core dumps, with 1 it does not.
        fixed('RLIMIT_CORE', 1),
        fixed('RLIMIT_SIGPENDING', SANDBOX.signalsMax),
        fixed('RLIMIT_NICE', 0),
        fixed('RLIMIT_RTPRIO', 0),
      ],
    },
    mounts: [
      { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
      {
        destination: '/dev',
        type: 'tmpfs',
        source: 'tmpfs',
        options: ['nosuid', 'noexec', 'mode=755', 'size=65536', 'nr_inodes=64'],
      },
      {
        destination: '/dev/pts',
        type: 'devpts',
        source: 'devpts',
        options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620', `max=${OCI.terminalsMax}`],
      },
      scratch('/dev/shm', SANDBOX.sharedMemoryMaxBytes, ['noexec']),
      scratch('/tmp'),
      ...plan.volumes.map((volume) => scratch(volume)),
      bind(directory, 'function'),
      ...(run.kind === 'node' ? [bind(runner, 'runner')] : [bind(busybox, 'busybox')]),
    ],
    linux: {
      cgroupsPath: cgroupPath,
      namespaces: ['pid', 'network', 'ipc', 'uts', 'mount', 'cgroup'].map((type) => ({ type })),
      // Images listen on port 80 as root elsewhere; in a namespace of its own a port is no privilege.
      sysctl: { 'net.ipv4.ip_unprivileged_port_start': '0' },
      seccomp: seccompProfile(),
      maskedPaths: [
        ...LOCKING_PROC_FILES,
        ...[
          '/proc/acpi',
          '/proc/asound',
          '/proc/kcore',
          '/proc/keys',
          '/proc/latency_stats',
          '/proc/timer_list',
        ],
        ...['/proc/sched_debug', '/proc/scsi', '/proc/kallsyms', '/proc/interrupts', '/proc/softirqs'],
      ],
      // All of it: written, it would let a function leave its rank for the kernel's out-of-memory killer.
      readonlyPaths: ['/proc'],
    },
  };
}
