/**
 * From facts about a host to what they mean for NEMO: for each thing whether it is there, what is lost without it,
 * and the way out. Pure. `essential` things decide whether NEMO can run at all; everything else only costs something.
 */

import type { HostFacts } from '../host/host.js';
import { installLine } from '../host/packages.js';
import { openVulnerabilities } from '../host/vulnerabilities.js';
import type { CoreLimit } from '../linux/allowed-cores.js';
import { formatCpuList } from '../linux/process.js';

export interface Finding {
  what: string;
  state: 'ok' | 'missing' | 'degraded';
  /** What was found. */
  detail: string;
  /** NEMO cannot run without it. */
  essential: boolean;
  /** Given when the state is not ok. */
  lost?: string;
  wayOut?: string;
}

/** Packages without which no command that touches packets or functions can run. */
export const RUNTIME_PACKAGES = ['iproute2', 'bubblewrap'] as const;
/** The NFs that nobody here wrote, for test/e2e/real-nf. */
export const REAL_NF_PACKAGES = [
  'nginx-light',
  'haproxy',
  'nftables',
  'wireguard-tools',
  'wireguard-go',
  'dpdk-dev',
  'openvswitch-switch-dpdk',
] as const;
/** What the tests need beyond that: a browser for the console, Redis for the store, QEMU for a cgroup v2 kernel, NFs. */
export const TEST_PACKAGES = [
  'musl-tools',
  'chromium',
  'redis-server',
  'qemu-system-x86',
  'runc',
  'busybox-static',
  'docker-registry',
  'skopeo',
  'umoci',
  // Real traffic through the reference NFs.
  'curl',
  'iputils-ping',
  'python3',
  // Foreign clients of a running agent.
  'apache2-utils',
  'wrk',
  'netcat-openbsd',
  'python3-requests',
  'python3-redis',
  'python3-websocket',
  'python3-websockets',
  ...REAL_NF_PACKAGES,
] as const;

/** Of one user, which take 10 to 20 ms to wake up together. */
const EPOLL_WATCHES_MAX = 65_536;

interface Rule {
  what: string;
  essential?: true;
  state: (host: HostFacts) => 'ok' | 'missing' | 'degraded';
  detail: (host: HostFacts) => string;
  lost: string;
  wayOut: (host: HostFacts) => string;
}

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

const RULES: Rule[] = [
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
  {
    what: 'packet sockets',
    essential: true,
    state: (host) => (host.packetSocket ? 'ok' : 'missing'),
    detail: (host) => (host.packetSocket ? 'can be opened' : 'refused'),
    lost: 'no reference NF, no traffic, and packet latency cannot be tapped',
    wayOut: () => 'run as root; in a container, add the capability NET_RAW',
  },
  {
    what: 'ip',
    essential: true,
    state: (host) => (host.programs.ip === null ? 'missing' : 'ok'),
    detail: (host) => host.programs.ip ?? 'not installed',
    lost: 'no network namespaces, so no demo and no bench',
    wayOut: () => installLine(['iproute2']),
  },
  {
    what: 'bubblewrap',
    essential: true,
    state: (host) => (host.bubblewrapWorks ? 'ok' : 'missing'),
    detail: (host) =>
      host.bubblewrapWorks
        ? (host.programs.bwrap ?? 'yes')
        : host.programs.bwrap === null
          ? 'not installed'
          : 'installed, but it cannot make namespaces here',
    lost: 'functions have no sandbox to run in',
    wayOut: (host) =>
      host.programs.bwrap === null
        ? installLine(['bubblewrap'])
        : 'allow namespaces: run as root, and in a container with CAP_SYS_ADMIN and no seccomp filter on unshare',
  },
  {
    what: 'util-linux programs',
    state: (host) => (absentTools(host).length === 0 ? 'ok' : 'degraded'),
    detail: (host) => (absentTools(host).length === 0 ? 'all there' : `no ${absentTools(host).join(', ')}`),
    lost: 'some of the tests and examples cannot run',
    wayOut: () => installLine(['util-linux']),
  },
  {
    what: 'user namespaces',
    state: (host) => (host.userNamespaces ? 'ok' : 'missing'),
    detail: (host) => (host.userNamespaces ? 'for everybody' : 'not for unprivileged users'),
    lost: 'nothing as root; an unprivileged sandbox could not be made',
    wayOut: () => 'sysctl -w kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000',
  },
  {
    what: 'pressure (PSI)',
    state: (host) => (host.pressure ? 'ok' : 'missing'),
    detail: (host) => (host.pressure ? 'yes' : 'no'),
    lost: 'stalls on memory are not a leading sign, and memory pressure is seen from available memory alone',
    wayOut: () => 'boot with psi=1',
  },
  {
    what: 'run-queue delay',
    state: (host) => (host.counters.runQueueDelay ? 'ok' : 'missing'),
    detail: (host) => (host.counters.runQueueDelay ? 'counted for each thread' : 'not counted'),
    lost: 'the latency source `runqueue` and the first leading sign: NF threads that wait for their core',
    wayOut: () => 'use a kernel with CONFIG_SCHED_INFO, and a /proc that shows other processes',
  },
  {
    what: 'packet backlog',
    state: (host) => (host.counters.softnet ? 'ok' : 'missing'),
    detail: (host) =>
      host.counters.softnet ? 'drops and squeezes counted for each core' : 'not told by core',
    lost: 'packets dropped before an NF sees them are not a leading sign',
    wayOut: () => 'use a kernel of version 5.10 or later',
  },
  {
    what: "NFs' namespaces",
    state: (host) => (host.namespaceEntry ? 'ok' : 'missing'),
    detail: (host) => (host.namespaceEntry ? 'can be entered' : 'cannot be entered'),
    lost: 'no taps, and no probes from inside, of NFs in network namespaces',
    wayOut: () => 'run as root; in a container, add the capability SYS_ADMIN',
  },
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
  {
    what: 'redis',
    state: (host) => (host.redis ? 'ok' : 'missing'),
    detail: (host) => (host.redis ? 'answers on 127.0.0.1:6379' : 'nothing answers on 127.0.0.1:6379'),
    lost: 'nothing on one box, which keeps its state in its embedded store',
    wayOut: () => `only where boxes share state: ${installLine(['redis-server'])}`,
  },
];

export function diagnose(host: HostFacts): Finding[] {
  return RULES.map((rule) => {
    const state = rule.state(host);
    const finding = { what: rule.what, state, detail: rule.detail(host), essential: rule.essential ?? false };
    return state === 'ok' ? finding : { ...finding, lost: rule.lost, wayOut: rule.wayOut(host) };
  });
}

export function canRun(findings: readonly Finding[]): boolean {
  return findings.every((finding) => finding.state === 'ok' || !finding.essential);
}

/** Those that only programs on siblings can use count where there are siblings. */
function faults(host: HostFacts): string[] {
  const { open, smt } = openVulnerabilities(host.vulnerabilities);
  return online(host).some(({ siblings }) => siblings.length > 0) ? [...open, ...smt] : open;
}

function online(host: HostFacts) {
  return host.cores.filter((core) => core.online);
}

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

function absentTools(host: HostFacts): string[] {
  return (['unshare', 'nsenter', 'setpriv', 'chrt', 'taskset'] as const).filter(
    (program) => host.programs[program] === null,
  );
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
