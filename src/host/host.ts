/** Everything that NEMO needs to know about the machine before it starts, gathered once in well under a second. */

import { existsSync } from 'node:fs';
import { arch, hostname, release, totalmem } from 'node:os';
import { type AllowedCores, allowedCores } from '../linux/allowed-cores.js';
import { CAP_SYS_RESOURCE, hasCapability } from '../linux/capabilities.js';
import { memoryMount } from '../linux/cgroup/open.js';
import { type CoreScheduling, coreScheduling } from '../linux/core-scheduling.js';
import { textIfThere } from '../linux/if-there.js';
import { Pressure } from '../linux/procfs.js';
import { readTopology } from '../linux/topology.js';
import type { CoreFacts } from '../model/core-facts.js';
import {
  type CgroupFacts,
  type CounterFacts,
  probeBubblewrap,
  probeCgroups,
  probeCounters,
  probeNamespaceEntry,
  probePacketSocket,
  probeRedis,
  probeScheduling,
  probeUserNamespaces,
  type SchedulingFacts,
} from './probes.js';
import { findProgram } from './programs.js';
import { readVulnerabilities, type Vulnerabilities } from './vulnerabilities.js';

const REDIS_PORT = 6379;
const REDIS_TIMEOUT_MS = 200;
const PROGRAMS = ['ip', 'bwrap', 'unshare', 'nsenter', 'setpriv', 'chrt', 'taskset'] as const;

export interface HostFacts {
  hostname: string;
  /** Kernel release. */
  kernel: string;
  arch: string;
  nodeVersion: string;
  root: boolean;
  memoryBytes: number;
  memoryAvailableBytes: number;
  swapBytes: number;
  /** What the machine runs on, if it seems not to be bare metal: "container", "QEMU Standard PC", "hypervisor". */
  virtualisation: string | undefined;
  cores: CoreFacts[];
  /** Which of them an agent that is started here may use. Undefined: all. */
  allowed?: AllowedCores;
  cgroup: CgroupFacts;
  scheduling: SchedulingFacts;
  packetSocket: boolean;
  userNamespaces: boolean;
  /** bubblewrap is installed and can make its namespaces. */
  bubblewrapWorks: boolean;
  /** Program -> absolute path; null when it is not installed. */
  programs: Record<(typeof PROGRAMS)[number], string | null>;
  /** A thread may enter another network namespace. */
  namespaceEntry: boolean;
  counters: CounterFacts;
  pressure: boolean;
  /** The kernel groups threads that are in no cpu cgroup by session. */
  autogroup: boolean;
  /** Cache and memory-bandwidth allocation (Intel RDT, AMD QoS). */
  resctrl: 'mounted' | 'available' | 'absent';
  /** Vulnerabilities of the processor: the kernel's name of each, and its line about it. */
  vulnerabilities: Vulnerabilities;
  coreScheduling: CoreScheduling;
  /** The kernel starts modprobe, as root and on any core, for a program whose format it does not know. */
  binfmtRequests: boolean;
  /** How many files one user may watch by epoll(7), the same for all users; 0 where the kernel does not show it. */
  epollWatchesMax: number;
  /** May lower the out-of-memory scores of NFs. */
  sysResource: boolean;
  /** May keep NFs' memory from reclaim: cgroup v2 with its memory controller. */
  memoryMin: boolean;
  /** Answers on 127.0.0.1:6379. */
  redis: boolean;
}

export async function readHostFacts(): Promise<HostFacts> {
  const [cgroup, scheduling, userNamespaces, bubblewrapWorks, redis] = await Promise.all([
    probeCgroups(),
    probeScheduling(),
    probeUserNamespaces(),
    probeBubblewrap(),
    probeRedis(REDIS_PORT, REDIS_TIMEOUT_MS),
  ]);
  const cores = readTopology();
  const memory = textIfThere('/proc/meminfo');
  const pressure = Pressure.open('/proc/pressure/cpu');
  pressure?.close();
  return {
    hostname: hostname(),
    kernel: release(),
    arch: arch(),
    nodeVersion: process.version,
    root: process.geteuid?.() === 0,
    memoryBytes: totalmem(),
    memoryAvailableBytes: kibibytes(memory, 'MemAvailable'),
    swapBytes: kibibytes(memory, 'SwapTotal'),
    virtualisation: virtualisation(),
    cores,
    allowed: allowedCores(),
    cgroup,
    scheduling,
    packetSocket: probePacketSocket(),
    userNamespaces,
    bubblewrapWorks,
    programs: Object.fromEntries(
      PROGRAMS.map((program) => [program, findProgram(program) ?? null]),
    ) as HostFacts['programs'],
    namespaceEntry: probeNamespaceEntry(),
    counters: probeCounters(),
    pressure: pressure !== undefined,
    autogroup: isAutogrouping(),
    resctrl: resctrl(),
    vulnerabilities: readVulnerabilities(),
    coreScheduling: coreScheduling(cores.some(({ siblings }) => siblings.length > 0)),
    binfmtRequests: requestsBinaryFormats(release(), textIfThere('/proc/sys/kernel/modprobe').trim()),
    epollWatchesMax: Number(textIfThere('/proc/sys/fs/epoll/max_user_watches')),
    sysResource: hasCapability(CAP_SYS_RESOURCE),
    memoryMin: memoryMount() !== undefined,
    redis,
  };
}

/** Up to Linux 6.14 (fs/exec.c), unless `kernel.modprobe` is empty or not there: Documentation/admin-guide/sysctl/kernel.rst. */
export function requestsBinaryFormats(kernel: string, modprobe: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map(Number.parseFloat);
  return modprobe !== '' && (major < 6 || (major === 6 && minor < 15));
}

/** Threads outside of any cpu cgroup share a core by session first; SCHED_IDLE counts only within a session. */
export function isAutogrouping(): boolean {
  return textIfThere('/proc/sys/kernel/sched_autogroup_enabled').trim() === '1';
}

function kibibytes(meminfo: string, key: string): number {
  return Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(meminfo)?.[1] ?? 0) * 1024;
}

function virtualisation(): string | undefined {
  const container = existsSync('/.dockerenv') || existsSync('/run/.containerenv');
  if (container || /(^|\0)container=/.test(textIfThere('/proc/1/environ'))) return 'container';
  if (!/^flags\s*:.*\bhypervisor\b/m.test(textIfThere('/proc/cpuinfo'))) return undefined;
  const vendor = textIfThere('/sys/class/dmi/id/sys_vendor').trim();
  const product = textIfThere('/sys/class/dmi/id/product_name').trim();
  return `${vendor} ${product}`.trim() || 'hypervisor';
}

function resctrl(): HostFacts['resctrl'] {
  if (existsSync('/sys/fs/resctrl/schemata')) return 'mounted';
  const capable = /^flags\s*:.*\b(cat_l3|cat_l2|mba|cqm_mbm_total)\b/m.test(textIfThere('/proc/cpuinfo'));
  return capable && existsSync('/sys/fs/resctrl') ? 'available' : 'absent';
}
