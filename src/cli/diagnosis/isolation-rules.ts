/** What keeps functions apart from NFs and from each other where cores, caches and memory are shared. */

import type { HostFacts } from '../../host/host.js';
import { openVulnerabilities } from '../../host/vulnerabilities.js';
import { formatCpuList } from '../../linux/process.js';
import { online, type Rule } from './rule.js';

/** Of one user, which take 10 to 20 ms to wake up together. */
const EPOLL_WATCHES_MAX = 65_536;

export const ISOLATION_RULES: readonly Rule[] = [
  {
    what: 'whole cores',
    state: (host) => (online(host).some(({ siblings }) => siblings.length > 0) ? 'degraded' : 'ok'),
    detail: (host) => {
      const pairs = online(host).map(({ id, siblings }) => formatCpuList([id, ...siblings]));
      return online(host).some(({ siblings }) => siblings.length > 0)
        ? `SMT siblings: ${[...new Set(pairs)].join(' | ')}`
        : 'no SMT siblings';
    },
    lost: 'the sibling of an NF core is not harvested, as a function there would slow its NF',
    wayOut: () => 'give an NF both siblings, boot with nosmt, or allow it: cores: { allowSmtSiblings: true }',
  },
  {
    what: 'processor mitigations',
    state: (host) => (faults(host).length === 0 ? 'ok' : 'degraded'),
    detail: (host) => {
      if (Object.keys(host.vulnerabilities).length === 0) return 'the kernel says nothing';
      return faults(host).length === 0
        ? 'all there, or not needed'
        : `missing for ${faults(host).join(', ')}`;
    },
    lost: 'a function may read memory of other functions, of NFs or of the kernel through caches and buffers',
    wayOut: () => 'update kernel and microcode, take mitigations=off from the kernel command line',
  },
  {
    what: 'core scheduling',
    state: (host) => (host.coreScheduling === 'unsupported' ? 'degraded' : 'ok'),
    detail: (host) =>
      ({
        on: 'functions are kept apart on SMT siblings',
        'no-smt': 'not needed without SMT siblings',
        unsupported: 'the kernel cannot',
      })[host.coreScheduling],
    lost: 'one SMT sibling of each physical core is not used by functions, to keep them apart',
    wayOut: () => 'use a kernel with CONFIG_SCHED_CORE, or boot with nosmt',
  },
  {
    what: 'unknown formats',
    state: (host) => (host.binfmtRequests ? 'degraded' : 'ok'),
    detail: (host) =>
      host.binfmtRequests ? 'the kernel asks modprobe for programs of such' : 'not asked for by the kernel',
    lost: 'a function that executes such files has root run modprobe, on any core and on nobody’s account',
    wayOut: () =>
      "use Linux 6.15, or load all modules that are needed at boot, then sysctl -w kernel.modprobe=''",
  },
  {
    what: 'epoll watches',
    state: (host) => (host.epollWatchesMax > EPOLL_WATCHES_MAX ? 'degraded' : 'ok'),
    detail: (host) => `${host.epollWatchesMax} for each user`,
    lost: 'a function that watches one file many times keeps its core from the NF with each event: 60 ms for 225,000 watches',
    wayOut: () =>
      `sysctl -w fs.epoll.max_user_watches=${EPOLL_WATCHES_MAX / 4}, if no user of the box needs more connections; or a PREEMPT_RT kernel`,
  },
  {
    what: 'out-of-memory scores',
    state: (host) => (host.sysResource ? 'ok' : 'degraded'),
    detail: (host) => (host.sysResource ? 'can be lowered' : 'refused'),
    lost: 'when memory runs out, the kernel may end an NF before other programs, though after functions',
    wayOut: () => 'run as root; in a container, add the capability SYS_RESOURCE',
  },
  {
    what: 'memory kept for NFs',
    state: (host) => (host.memoryMin ? 'ok' : 'missing'),
    detail: (host) => (host.memoryMin ? 'memory.min of cgroup v2' : 'cgroup v1 has none'),
    lost: "other programs of the box can push an NF's pages out; functions only their own",
    wayOut: () =>
      'boot with systemd.unified_cgroup_hierarchy=1, and run each NF as a service or in a container',
  },
  {
    what: 'resctrl',
    state: (host) =>
      host.resctrl === 'mounted' ? 'ok' : host.resctrl === 'available' ? 'degraded' : 'missing',
    detail: (host) => host.resctrl,
    lost: "a function can push the NF's data out of the shared cache",
    wayOut: (host) =>
      host.resctrl === 'available'
        ? 'mount -t resctrl resctrl /sys/fs/resctrl'
        : 'only on hardware with Intel RDT or AMD QoS, seldom in virtual machines',
  },
];

/** Those that only programs on siblings can use count where there are siblings. */
function faults(host: HostFacts): string[] {
  const { open, smt } = openVulnerabilities(host.vulnerabilities);
  return online(host).some(({ siblings }) => siblings.length > 0) ? [...open, ...smt] : open;
}
