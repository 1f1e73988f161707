/**
 * The system calls that a sandbox may not make. A list of what is refused, not of what is allowed: node and its
 * libraries change, and what must never happen here does not. Everything that could leave the namespaces, look
 * into other processes, load code into the kernel or raise the own scheduling answers EPERM; what is newer than
 * this list answers ENOSYS, as on an older kernel.
 */

import { NemoError } from '../../../errors.js';
import {
  and,
  argumentLow,
  assemble,
  DATA_ARCH,
  DATA_NR,
  type Instruction,
  load,
  ret,
  unlessEqual,
  whenAnyBit,
  whenAtLeast,
  whenEqual,
} from './bpf.js';

const ALLOW = 0x7fff0000;
const KILL_PROCESS = 0x80000000;
const refuse = (errno: number) => ret(0x00050000 | errno);
const EPERM = 1;
const ENOSYS = 38;
const EAFNOSUPPORT = 97;

/** First number that this list knows nothing of: Linux 6.6 ends at 453. */
const FIRST_UNKNOWN = 454;
/** Calls made through the x32 table carry this bit. */
const X32_BIT = 0x40000000;
const CLONE_NEW_ANY = 0x7e020000;
const TIOCSTI = 0x5412;
const TIOCLINUX = 0x541c;
const AF = { unix: 1, inet: 2, inet6: 10, netlink: 16 };
const SOCK_TYPE_MASK = 0xf;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;

type Arch = 'x64' | 'arm64';
/** [x64, arm64]; -1: the architecture lacks the call. From 424 on, both number alike. */
type Numbers = Record<string, readonly [number, number]>;
const same = (number: number): readonly [number, number] => [number, number];

const REFUSED: Numbers = {
  // the file system's shape
  mount: [165, 40],
  umount2: [166, 39],
  pivot_root: [155, 41],
  chroot: [161, 51],
  open_tree: same(428),
  move_mount: same(429),
  fsopen: same(430),
  fsconfig: same(431),
  fsmount: same(432),
  fspick: same(433),
  mount_setattr: same(442),
  open_by_handle_at: [304, 265],
  name_to_handle_at: [303, 264],
  quotactl: [179, 60],
  quotactl_fd: same(443),
  mknod: [133, -1],
  mknodat: [259, 33],
  acct: [163, 89],
  swapon: [167, 224],
  swapoff: [168, 225],
  fanotify_init: [300, 262],
  // other processes
  ptrace: [101, 117],
  process_vm_readv: [310, 270],
  process_vm_writev: [311, 271],
  process_madvise: same(440),
  pidfd_getfd: same(438),
  kcmp: [312, 272],
  migrate_pages: [256, 238],
  move_pages: [279, 239],
  // namespaces
  unshare: [272, 97],
  setns: [308, 268],
  // kernel code and its dark corners
  bpf: [321, 280],
  perf_event_open: [298, 241],
  userfaultfd: [323, 282],
  io_uring_setup: same(425),
  io_uring_enter: same(426),
  io_uring_register: same(427),
  init_module: [175, 105],
  finit_module: [313, 273],
  delete_module: [176, 106],
  create_module: [174, -1],
  kexec_load: [246, 104],
  kexec_file_load: [320, 294],
  reboot: [169, 142],
  syslog: [103, 116],
  lookup_dcookie: [212, 18],
  uselib: [134, -1],
  personality: [135, 92],
  modify_ldt: [154, -1],
  ioperm: [173, -1],
  iopl: [172, -1],
  nfsservctl: [180, 42],
  _sysctl: [156, -1],
  memfd_secret: same(447),
  // keys
  add_key: [248, 217],
  request_key: [249, 218],
  keyctl: [250, 219],
  // clocks and names of the host
  clock_settime: [227, 112],
  clock_adjtime: [305, 266],
  settimeofday: [164, 170],
  adjtimex: [159, 171],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  vhangup: [153, 58],
  // own scheduling: SCHED_IDLE from the first to the last instruction
  sched_setscheduler: [144, 119],
  sched_setparam: [142, 118],
  sched_setattr: [314, 274],
  setpriority: [141, 140],
  ioprio_set: [251, 30],
  mbind: [237, 235],
  set_mempolicy: [238, 237],
  set_mempolicy_home_node: same(450),
};

/** Refused beyond that where a sandbox is threads of a process that others share. */
const PROCESSES: Numbers = {
  fork: [57, -1],
  vfork: [58, -1],
  kill: [62, 129],
  tkill: [200, 130],
  bind: [49, 200],
  listen: [50, 201],
};

/** For engines that have a filter of another form made of it. */
export const REFUSED_NAMES: readonly string[] = Object.keys(REFUSED);

const CLONE = [56, 220] as const;
const CLONE_THREAD = 0x00010000;
const CLONE3 = 435;
const SOCKET = [41, 198] as const;
const IOCTL = [16, 29] as const;

const AUDIT_ARCH: Record<Arch, number> = { x64: 0xc000003e, arm64: 0xc00000b7 };

export interface SeccompOptions {
  /** The sandbox makes threads but no processes, and speaks to the agent only: no IP sockets either. */
  threadsOnly?: boolean;
}

/** The program for `bwrap --seccomp`. Throws UNSUPPORTED on another architecture than x64 and arm64. */
export function seccompProgram(
  arch: string = process.arch,
  { threadsOnly = false }: SeccompOptions = {},
): Buffer {
  if (arch !== 'x64' && arch !== 'arm64') {
    throw new NemoError('UNSUPPORTED', `no system call filter for the architecture ${arch}`, {
      hint: 'run on x64 or arm64',
    });
  }
  const column = arch === 'x64' ? 0 : 1;
  const eperm = [refuse(EPERM)];
  const program: Instruction[] = [
    load(DATA_ARCH),
    ...unlessEqual(AUDIT_ARCH[arch], [ret(KILL_PROCESS)]),
    load(DATA_NR),
    ...(arch === 'x64' ? whenAtLeast(X32_BIT, [ret(KILL_PROCESS)]) : []),
    ...whenAtLeast(FIRST_UNKNOWN, [refuse(ENOSYS)]),
    // Its flags lie in memory, out of a filter's sight; libraries fall back to clone.
    ...whenEqual(CLONE3, [refuse(ENOSYS)]),
    ...whenEqual(CLONE[column], [
      load(argumentLow(0)),
      ...whenAnyBit(CLONE_NEW_ANY, eperm),
      ...(threadsOnly ? whenAnyBit(CLONE_THREAD, [ret(ALLOW)]) : [ret(ALLOW)]),
      ...eperm,
    ]),
    ...whenEqual(SOCKET[column], threadsOnly ? unixOnly() : socketRules()),
    ...whenEqual(IOCTL[column], [
      load(argumentLow(1)),
      ...whenEqual(TIOCSTI, eperm),
      ...whenEqual(TIOCLINUX, eperm),
      ret(ALLOW),
    ]),
  ];
  for (const numbers of Object.values(threadsOnly ? { ...REFUSED, ...PROCESSES } : REFUSED)) {
    if (numbers[column] >= 0) program.push(...whenEqual(numbers[column], eperm));
  }
  program.push(ret(ALLOW));
  return assemble(program);
}

function unixOnly(): Instruction[] {
  return [load(argumentLow(0)), ...whenEqual(AF.unix, [ret(ALLOW)]), refuse(EAFNOSUPPORT)];
}

/** UNIX and IP streams and datagrams; of netlink only routes, which libc asks for the host's own addresses. */
function socketRules(): Instruction[] {
  const streamOrDatagram = [
    load(argumentLow(1)),
    and(SOCK_TYPE_MASK),
    ...whenEqual(SOCK_STREAM, [ret(ALLOW)]),
    ...whenEqual(SOCK_DGRAM, [ret(ALLOW)]),
    refuse(EPERM),
  ];
  return [
    load(argumentLow(0)),
    ...whenEqual(AF.unix, [ret(ALLOW)]),
    ...whenEqual(AF.inet, streamOrDatagram),
    ...whenEqual(AF.inet6, streamOrDatagram),
    ...whenEqual(AF.netlink, [load(argumentLow(2)), ...whenEqual(0, [ret(ALLOW)]), refuse(EAFNOSUPPORT)]),
    refuse(EAFNOSUPPORT),
  ];
}
