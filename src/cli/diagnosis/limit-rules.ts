/** What holds functions within limits: cgroups, and how the kernel groups threads. */

import type { HostFacts } from '../../host/host.js';
import type { Rule } from './rule.js';

const LIMIT_LOST = {
  memory: 'a function that allocates without end can take the NF down',
  cpuset: 'a function may run on cores that it was not given',
  cpu: 'conflicts cannot be answered by a quota',
  pids: 'a function may fork without end',
  freezer: 'conflicts cannot be answered by freezing, and a fork storm is hard to end',
} as const;

/** Without the cpu controller nothing keeps the kernel from grouping threads itself. */
function groupsBySession({ autogroup, cgroup }: HostFacts): boolean {
  return autogroup && cgroup.missing.includes('cpu');
}

export const LIMIT_RULES: readonly Rule[] = [
  {
    what: 'cgroups',
    essential: true,
    state: (host) => (host.cgroup.layout === 'none' ? 'missing' : 'ok'),
    detail: (host) => (host.cgroup.layout === 'none' ? (host.cgroup.refusal ?? 'none') : host.cgroup.layout),
    lost: 'no function can be limited or throttled',
    wayOut: (host) =>
      host.cgroup.wayOut ??
      'run as root with a writable /sys/fs/cgroup (mount -t cgroup2 none /sys/fs/cgroup)',
  },
  ...(Object.keys(LIMIT_LOST) as (keyof typeof LIMIT_LOST)[]).map(
    (controller): Rule => ({
      what: `cgroup ${controller}`,
      state: (host) => (host.cgroup.missing.includes(controller) ? 'missing' : 'ok'),
      detail: (host) => (host.cgroup.missing.includes(controller) ? 'not enforced' : 'enforced'),
      lost: LIMIT_LOST[controller],
      wayOut: (host) =>
        host.cgroup.layout === 'none'
          ? 'none of them can be used before cgroups can'
          : host.cgroup.layout === 'v2'
            ? `let ${controller} through cgroup.subtree_control of the parent group`
            : `mount the ${controller} controller below /sys/fs/cgroup, or boot with cgroup v2`,
    }),
  ),
  {
    what: 'cpu.idle groups',
    state: (host) => (host.cgroup.idle ? 'ok' : 'degraded'),
    detail: (host) => (host.cgroup.idle ? 'yes' : 'no, smallest weight instead'),
    lost: 'functions yield by their own scheduling only, not as one group',
    wayOut: () => 'use a kernel of version 5.15 or later',
  },
  {
    what: 'thread groups',
    state: (host) => (groupsBySession(host) ? 'degraded' : 'ok'),
    detail: (host) => (groupsBySession(host) ? 'by session (autogroup)' : 'by cgroup'),
    lost: 'a function may get as much of a core as an NF, whatever their scheduling',
    wayOut: () => 'sysctl -w kernel.sched_autogroup_enabled=0, or a kernel with the cpu controller',
  },
];
