/** Cores, and how threads may be scheduled on them. */

import type { HostFacts } from '../../host/host.js';
import type { CoreLimit } from '../../linux/allowed-cores.js';
import { formatCpuList } from '../../linux/process.js';
import { online, type Rule } from './rule.js';

export const CORE_RULES: readonly Rule[] = [
  {
    what: 'root',
    essential: true,
    state: (host) => (host.root ? 'ok' : 'missing'),
    detail: (host) => (host.root ? 'yes' : 'no'),
    lost: 'cgroups, scheduling of other processes, packet sockets and namespaces are all refused',
    wayOut: () => 'run nemo as root, for example with sudo',
  },
  {
    what: 'cores',
    essential: true,
    state: (host) => (usable(host).length >= 2 ? 'ok' : 'missing'),
    detail: describeCores,
    lost: 'an NF needs a core of its own beside the one on which NEMO itself runs',
    wayOut: (host) =>
      barrier(host)?.wayOut ?? 'use a machine, or give the virtual machine, at least two cores',
  },
  {
    what: 'isolated cores',
    state: (host) => (host.cores.some((core) => core.isolated) ? 'ok' : 'degraded'),
    detail: (host) =>
      formatCpuList(host.cores.filter((core) => core.isolated).map((core) => core.id)) || 'none',
    lost: 'other programs of this machine may run on NF cores and disturb packets',
    wayOut: (host) => `boot with isolcpus=${online(host).at(-1)?.id ?? 1} (the cores of your NFs)`,
  },
  {
    what: 'SCHED_IDLE',
    essential: true,
    state: (host) => (host.scheduling.idle ? 'ok' : 'missing'),
    detail: (host) => (host.scheduling.idle ? 'can be set' : 'refused'),
    lost: 'a function would compete with its NF instead of yielding to every packet',
    wayOut: () => 'run as root; in a container, add the capability SYS_NICE',
  },
  {
    what: 'SCHED_FIFO',
    state: (host) => (host.scheduling.fifo ? 'ok' : 'missing'),
    detail: (host) => (host.scheduling.fifo ? 'can be set' : 'refused'),
    lost: 'the control loop may be late when its core is busy, and NFs cannot be protected by priority',
    wayOut: () =>
      'add the capability SYS_NICE, or a real-time budget for this cgroup: 950000 in its cpu.rt_runtime_us, after those above it',
  },
];

/** Those that are online, and that neither a cpuset nor somebody else keeps from an agent. */
function usable(host: HostFacts): number[] {
  const cores = online(host).map(({ id }) => id);
  return cores.filter((core) => host.allowed?.cores.includes(core) ?? true);
}

/** What keeps a core of this machine from an agent. */
function barrier(host: HostFacts): CoreLimit | undefined {
  const barred = online(host).find(({ id }) => !usable(host).includes(id))?.id;
  return barred === undefined
    ? undefined
    : host.allowed?.limits.find(({ allows }) => !allows.includes(barred));
}

/** "8 online (0-7), 4 physical, 1 package, last-level cache shared by 0-7". */
function describeCores(host: HostFacts): string {
  const cores = online(host);
  const physical = new Set(cores.map((core) => `${core.packageId}/${core.coreId}`)).size;
  const packages = new Set(cores.map((core) => core.packageId)).size;
  const barred = barrier(host);
  const llcs = new Set(cores.map((core) => formatCpuList([core.id, ...core.llcSharers])));
  return [
    `${cores.length} online (${formatCpuList(cores.map((core) => core.id))})`,
    `${physical} physical`,
    `${packages} package${packages === 1 ? '' : 's'}`,
    `last-level cache shared by ${[...llcs].join(' | ')}`,
    ...(barred === undefined
      ? []
      : [`an agent may use ${formatCpuList(usable(host)) || 'none'}: ${barred.why}`]),
  ].join(', ');
}
