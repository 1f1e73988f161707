/**
 * What a function may make of each system call: policy, told in conditions that both a BPF program and an OCI runtime can
 * check. A filter sees numbers only, never what a pointer leads to. Pure.
 */

import { CONDITIONAL, type SystemCall, UNCONDITIONAL } from './calls.js';

/**
 * `processes`: a function that may start programs. `containers`: the same for an image, which may bring musl. `threads`: one
 * process that makes threads only and speaks to the agent only. `files`: as `threads`, and makes files, links and
 * directories. `machine`: a machine emulator, whose devices are driven by calls of `ioctl` that nobody can list.
 */
export type Confinement = 'processes' | 'containers' | 'threads' | 'files' | 'machine';

/** Of one argument: its lower 32 bits under `mask` are one of `values`. */
export interface Condition {
  argument: number;
  mask?: number;
  values: readonly number[];
}

export type FilterAction = 'allow' | { errno: number };

export interface Clause {
  /** All of them; none: always. */
  when: readonly Condition[];
  verdict: FilterAction;
}

export interface Rule {
  call: SystemCall;
  /** None: always allowed. At most one applies, but for one without conditions, which comes last; else DEFAULT_ERRNO. */
  clauses: readonly Clause[];
}

const EPERM = 1;
const EACCES = 13;
const EINVAL = 22;
const ENOSYS = 38;
const EPROTONOSUPPORT = 93;
const EAFNOSUPPORT = 97;
export const DEFAULT_ERRNO = EPERM;
/** Of a call that this table cannot know: libraries then do without it. */
export const UNKNOWN_ERRNO = ENOSYS;

const allow = (...when: Condition[]): Clause => ({ when, verdict: 'allow' });
const refuse = (errno: number, ...when: Condition[]): Clause => ({ when, verdict: { errno } });
const argument = (index: number, values: readonly number[], mask?: number): Condition => ({
  argument: index,
  values,
  ...(mask === undefined ? {} : { mask }),
});

const CLONE_NEW_ANY = 0x7e020000;
const CLONE_FILES = 0x400;
const CLONE_THREAD = 0x00010000;

const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16 };
const FAMILIES_MAX = 46;
const SOCK_TYPE_MASK = 0xf;
const SOCK = { stream: 1, dgram: 2 };
const IP = { any: 0, tcp: 6, udp: 17, mptcp: 262 };
const NETLINK_ROUTE = 0;

const FAMILY = (...families: number[]) => argument(0, families);
const TYPE = (type: number) => argument(1, [type], SOCK_TYPE_MASK);
const PROTOCOL = (...protocols: number[]) => argument(2, protocols);
const known = Object.values(AF);
/** Each of them is a protocol of the kernel, in part one that it would load a module for: TIPC, AF_ALG, vsock. */
const OTHER_FAMILIES = Array.from({ length: FAMILIES_MAX + 1 }, (_, family) => family).filter(
  (family) => !known.includes(family),
);

const IP_SOCKETS: readonly Clause[] = [
  allow(FAMILY(AF.inet, AF.inet6), TYPE(SOCK.stream), PROTOCOL(IP.any, IP.tcp)),
  // Go asks for it first, and takes TCP then.
  refuse(EPROTONOSUPPORT, FAMILY(AF.inet, AF.inet6), TYPE(SOCK.stream), PROTOCOL(IP.mptcp)),
  // libc asks it for the own addresses.
  allow(FAMILY(AF.netlink), PROTOCOL(NETLINK_ROUTE)),
];

const UDP = [FAMILY(AF.inet, AF.inet6), TYPE(SOCK.dgram), PROTOCOL(IP.any, IP.udp)] as const;
const sockets = (udp: Clause): readonly Clause[] => [
  allow(FAMILY(AF.unix)),
  ...IP_SOCKETS,
  udp,
  refuse(EAFNOSUPPORT, FAMILY(...OTHER_FAMILIES)),
];

/** Terminals and pipes, without those that type into a terminal (TIOCSTI, TIOCLINUX) or load a line discipline. */
const TERMINAL_REQUESTS = [
  ...[0x5401, 0x5402, 0x5403, 0x5404, 0x5405, 0x5406, 0x5407, 0x5408, 0x5409, 0x540a, 0x540b, 0x540c],
  ...[0x540e, 0x540f, 0x5410, 0x5411, 0x5413, 0x5414, 0x541b, 0x5420, 0x5421, 0x5422, 0x5424, 0x5425],
  ...[0x5429, 0x5441, 0x5450, 0x5451, 0x5452, 0x80045430, 0x40045431, 0x802c542a, 0x402c542b, 0x402c542c],
];
/** Of a file: flags, extents, block size, clones; how much randomness there is. */
const FILE_REQUESTS = [0x80086601, 0xc020660b, 2, 0x40049409, 0x4020940d, 0x80045200];
/** Of a socket and its interfaces, to read. */
const SOCKET_REQUESTS = [
  ...[0x8904, 0x8905, 0x8906, 0x8907, 0x8910, 0x8912, 0x8913, 0x8915, 0x8917, 0x8919, 0x891b, 0x891d],
  ...[0x8921, 0x8927, 0x8933, 0x8942, 0x8970],
];
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;

/** Names, ends, privileges given up, memory policy of itself. Not core scheduling, nor what needs a privilege; see FILTERS. */
const PRCTL_OPTIONS = [
  ...[1, 2, 3, 4, 7, 8, 15, 16, 21, 23, 25, 26, 27, 29, 30, 36, 37, 38, 39, 40, 41, 42, 47],
  ...[50, 51, 52, 53, 54, 55, 56, 60, 61, 65, 66, 0x53564d41, 0x59616d61, 0x41555856],
];

const PR_SET_SECCOMP = 22;
/** The kernel tries a filter on every number of a call with interrupts off: milliseconds of its core each time. */
const FILTERS = {
  seccomp: [refuse(ENOSYS)],
  prctl: [allow(argument(0, PRCTL_OPTIONS)), refuse(EINVAL, argument(0, [PR_SET_SECCOMP]))],
} as const;

const S_IFMT = 0o170000;
/** FIFO, regular file (also as 0), socket: not a device. */
const PLAIN_FILES = [0o010000, 0o100000, 0o140000, 0];

const range = (from: number, to: number, without: readonly number[]): number[] =>
  Array.from({ length: to - from + 1 }, (_, i) => from + i).filter((one) => !without.includes(one));

/** Huge pages are an NF's packet memory: there is one pool of them, which no memory limit of a sandbox counts. */
const MAP_HUGETLB = 0x40000;
const MFD_HUGETLB = 4;
const SHM_HUGETLB = 0o4000;
/** Of a set of semaphores 511 at most: all of a set are changed in one go, in each process that would undo something. */
const SEMAPHORES_BEYOND = 0xfffffe00;
/**
 * Not: merging with equal pages of others (12, 13), which tells what these hold; collapsing (25), which makes every core
 * empty its lists; what needs a privilege.
 */
const MADVICE = [...range(0, 4, []), ...range(8, 24, [12, 13]), 102, 103];
/** Not 4, DONTNEED: it takes files from the page cache, which is everybody's, and makes every core empty its lists. */
const FADVICE = [0, 1, 2, 3, 5];
/** Not F_NOTIFY (1026): it tells who uses a directory, of the host's too. */
const FCNTL_COMMANDS = [...range(0, 17, []), ...range(1024, 1038, [1026])];
/** Locks of open files, which the kernel counts to no process (see `lock-watch.ts`); libraries take those of processes then. */
const OPEN_FILE_LOCKS = [36, 37, 38];
/** Locks of a process (5 to 7) and leases (1024, 1025) keep others off files; who has no files has no use for them. */
const LOCKS_AND_LEASES = [5, 6, 7, 1024, 1025];
/** Of the core dump the launch chain says how large it may be, for good (see process/launch.ts). */
const RLIMIT_CORE = 4;
const LIMITS = range(0, 15, [RLIMIT_CORE]);
const SOL_SOCKET = 1;
/** IP, TCP, UDP, IPv6, ICMPv6, netlink, TLS. */
const OTHER_LEVELS = [0, 6, 17, 41, 58, 270, 282];
/**
 * How long a close may wait for the other side. Files that are sent in a circle are closed by one thread of the kernel for the
 * whole box, which then waits. Libraries know EINVAL, of a socket that was shut down, and close at once.
 */
const SO_LINGER = 13;
/** Not the filters (26, 50 to 52): compiled ones come out of one budget for the box, `net.core.bpf_jit_limit`. */
const SOCKET_OPTIONS = range(1, 90, [SO_LINGER, 26, 50, 51, 52]);

const CLAUSES: Readonly<Record<string, readonly Clause[]>> = {
  // A process that shares its table of files could take locks and end: they stay, and are nobody's (see lock-watch.ts).
  clone: [
    allow(argument(0, [0], CLONE_NEW_ANY | CLONE_FILES)),
    // Not both: at most one clause of a call may apply.
    allow(argument(0, [CLONE_THREAD | CLONE_FILES], CLONE_NEW_ANY | CLONE_THREAD | CLONE_FILES)),
  ],
  // Its flags lie in memory, out of a filter's sight; libraries fall back to clone.
  clone3: [refuse(ENOSYS)],
  mmap: [allow(argument(3, [0], MAP_HUGETLB))],
  memfd_create: [allow(argument(1, [0], MFD_HUGETLB))],
  shmget: [allow(argument(2, [0], SHM_HUGETLB))],
  madvise: [allow(argument(2, MADVICE))],
  fadvise64: [allow(argument(3, FADVICE))],
  fcntl: [allow(argument(1, FCNTL_COMMANDS)), refuse(EINVAL, argument(1, OPEN_FILE_LOCKS))],
  setrlimit: [allow(argument(0, LIMITS))],
  prlimit64: [allow(argument(1, LIMITS))],
  setsockopt: [
    allow(argument(1, OTHER_LEVELS)),
    allow(argument(1, [SOL_SOCKET]), argument(2, SOCKET_OPTIONS)),
    refuse(EINVAL, argument(1, [SOL_SOCKET]), argument(2, [SO_LINGER])),
  ],
  // They keep pages that somebody else allocated, the agent too, in as many pipes as there may be: no limit counts them.
  splice: [refuse(ENOSYS)],
  tee: [refuse(ENOSYS)],
  // Kernels are built without these, so programs know what to do.
  inotify_init: [refuse(ENOSYS)],
  inotify_init1: [refuse(ENOSYS)],
  timer_create: [refuse(ENOSYS)],
  io_setup: [refuse(ENOSYS)],
  membarrier: [refuse(ENOSYS)],
  // One datagram to a group reaches every socket of its port in one go, with its core: tens of thousands of them.
  socket: sockets(refuse(EACCES, ...UDP)),
  socketpair: [allow(FAMILY(AF.unix)), refuse(EAFNOSUPPORT, FAMILY(...OTHER_FAMILIES))],
  ioctl: [allow(argument(1, [...TERMINAL_REQUESTS, ...FILE_REQUESTS, ...SOCKET_REQUESTS]))],
  semget: [allow(argument(1, [0], SEMAPHORES_BEYOND))],
  ...FILTERS,
  mknod: [allow(argument(1, PLAIN_FILES, S_IFMT))],
  mknodat: [allow(argument(2, PLAIN_FILES, S_IFMT))],
};

const OF_CONTAINERS: typeof CLAUSES = {
  // Names: musl asks by a UDP socket whether there is IPv4, and without one finds no address of any name.
  socket: sockets(allow(...UDP)),
};

const OF_THREADS: typeof CLAUSES = {
  clone: [allow(argument(0, [CLONE_THREAD], CLONE_NEW_ANY | CLONE_THREAD))],
  socket: [allow(FAMILY(AF.unix), TYPE(SOCK.stream))],
  fcntl: [
    allow(
      argument(
        1,
        FCNTL_COMMANDS.filter((one) => !LOCKS_AND_LEASES.includes(one)),
      ),
    ),
  ],
};

const OF_MACHINES: typeof CLAUSES = {
  // QEMU lets go of what it knew of a disk when it goes on from a snapshot, and gives up where that is refused.
  fadvise64: [allow()],
  ioctl: [refuse(EPERM, argument(1, [TIOCSTI, TIOCLINUX])), allow()],
  // Its own one.
  seccomp: [allow()],
  prctl: [allow(argument(0, [...PRCTL_OPTIONS, PR_SET_SECCOMP]))],
};

const OWN_CLAUSES: Readonly<Record<Confinement, typeof CLAUSES>> = {
  processes: {},
  containers: OF_CONTAINERS,
  threads: OF_THREADS,
  files: OF_THREADS,
  machine: OF_MACHINES,
};

/** One rule for each call that is allowed at all. */
export function rulesFor(confinement: Confinement): Rule[] {
  const clauses = { ...CLAUSES, ...OWN_CLAUSES[confinement] };
  const wide = confinement !== 'threads' && confinement !== 'files';
  const applies = ({ threads, files }: SystemCall) => wide || threads || (files && confinement === 'files');
  return [
    ...UNCONDITIONAL.filter(applies).map((call) => ({ call, clauses: [] })),
    ...CONDITIONAL.filter(applies).map((call) => ({ call, clauses: clauses[call.name]! })),
  ];
}
