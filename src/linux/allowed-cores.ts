/**
 * Which cores this process, and functions beside it, may use. Not every online one: whoever started the agent may have put
 * it into a cpuset (a container, an orchestrator), or have kept cores for a cpuset of his own, where nobody else may run.
 * An affinity mask (taskset, systemd's CPUAffinity) is not a limit, since root may leave it: it
 * only sets what is chosen by default.
 */

import { existsSync, readdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { NemoError } from '../model/errors.js';
import { type CgroupMounts, parseCgroupMounts } from './cgroup/mounts.js';
import { readIfThere, textIfThere } from './if-there.js';
import { onlineCores } from './online-cores.js';
import { formatCpuList, parseCpuList } from './process.js';
import { getAffinity } from './sched.js';

const CGROUPS = '/sys/fs/cgroup';

/** Something that keeps cores from us. */
export interface CoreLimit {
  allows: readonly number[];
  /** "the cpuset /x, in which it runs, has cores 0". */
  why: string;
  wayOut: string;
}

export interface AllowedCores {
  /** Ascending; may be empty. */
  cores: number[];
  /** Those that are chosen where nobody chooses: within the affinity of this process, or isolated from others. */
  byDefault: number[];
  limits: readonly CoreLimit[];
}

/** For an agent: threads of its own and its functions' groups have to be able to use them. */
export function allowedCores(name = 'nemo', mountPoint = CGROUPS): AllowedCores {
  const mounts = parseCgroupMounts(textIfThere('/proc/self/mountinfo'), mountPoint);
  return within([online(), ownCpuset(mounts), ...cpusetsOfOthers(mounts, name)]);
}

/** For a process that makes no groups: an NF, a traffic generator. */
export function ownCores(mountPoint = CGROUPS): AllowedCores {
  const mounts = parseCgroupMounts(textIfThere('/proc/self/mountinfo'), mountPoint);
  return within([online(), ownCpuset(mounts)]);
}

/** Those and no others. */
export function coresAlone(cores: readonly number[]): AllowedCores {
  const limit = {
    allows: cores,
    why: `it is not among cores ${formatCpuList(cores)}`,
    wayOut: 'leave it out',
  };
  return { cores: [...cores], byDefault: [...cores], limits: [limit] };
}

/** Throws NO_SUCH_CORE, with what keeps the core and the way out. `what`: "cores.functions: ", or nothing. */
export function requireCore(core: number, { cores, limits }: AllowedCores = ownCores(), what = ''): void {
  const limit = limits.find(({ allows }) => !allows.includes(core));
  if (limit === undefined) return;
  const choose = cores.length === 0 ? '' : `choose among cores ${formatCpuList(cores)}, or `;
  throw new NemoError('NO_SUCH_CORE', `${what}core ${core} cannot be used: ${limit.why}`, {
    hint: choose + limit.wayOut,
    details: { core },
  });
}

/** Throws UNSUPPORTED where there are fewer than two to choose from. `what`: "the demo". */
export function requireTwoCores(what: string, { byDefault, limits }: AllowedCores): void {
  if (byDefault.length >= 2) return;
  const { why, wayOut } =
    limits.find(({ allows }) => allows.length < 2) ??
    // Its affinity is all that is left.
    affinityLimit();
  throw new NemoError(
    'UNSUPPORTED',
    `${what} needs two cores, one for the NF and one for everything else: ${why}`,
    { hint: wayOut },
  );
}

/**
 * What groups directly below a v1 cpuset may have of it: what no sibling has for itself alone. `file`: `cpuset.cpus` or
 * `cpuset.mems`. The kernel refuses overlapping ones with EINVAL.
 */
export function leftInCpuset(directory: string, name: string, file: 'cpuset.cpus' | 'cpuset.mems'): number[] {
  const all = parseCpuList(textIfThere(`${directory}/${file}`));
  const siblings = exclusiveSiblings(directory, name, file);
  const left = all.filter((number) => !siblings.some(({ numbers }) => numbers.includes(number)));
  if (left.length > 0 || all.length === 0) return left;
  const paths = siblings.map((sibling) => sibling.directory);
  const kind = file === 'cpuset.cpus' ? 'cores' : 'memory nodes';
  throw new NemoError(
    'NO_SUCH_CORE',
    `all ${kind} of ${directory} belong to exclusive cpusets: ${paths.join(', ')}`,
    { hint: `write 0 to ${flagOf(file)} of one of them` },
  );
}

function within(limits: readonly (CoreLimit | undefined)[]): AllowedCores {
  const known = limits.filter((limit) => limit !== undefined);
  const cores = onlineCores().filter((core) => known.every(({ allows }) => allows.includes(core)));
  const preferred = [...getAffinity(process.pid), ...isolatedCores()];
  const byDefault = cores.filter((core) => preferred.includes(core));
  return { cores, byDefault: byDefault.length === 0 ? cores : byDefault, limits: known };
}

function online(): CoreLimit {
  const cores = onlineCores();
  return {
    allows: cores,
    why: `it is not online on this machine, whose online cores are ${formatCpuList(cores)}`,
    wayOut: 'write 1 to /sys/devices/system/cpu/cpu<number>/online',
  };
}

function affinityLimit(): CoreLimit {
  const allows = getAffinity(process.pid);
  return {
    allows,
    why: `this process was started for cores ${formatCpuList(allows)} alone`,
    wayOut: 'start it without taskset, or without CPUAffinity= of its service',
  };
}

/** Isolated cores (`isolcpus`) are in nobody's affinity, and yet what NFs and their functions are meant for. */
function isolatedCores(): number[] {
  return parseCpuList(textIfThere('/sys/devices/system/cpu/isolated'));
}

function ownCpuset(mounts: CgroupMounts): CoreLimit | undefined {
  const v1 = mounts.v1.get('cpuset');
  const mount = v1 ?? mounts.v2;
  if (mount === undefined) return undefined;
  const group = ownGroup(v1 !== undefined);
  // In a container the mount may begin at its own group, whatever the path says.
  let directory = group !== undefined && existsSync(mount + group) ? mount + group : mount;
  const effective = v1 === undefined ? 'cpuset.cpus.effective' : 'cpuset.effective_cpus';
  while (!existsSync(`${directory}/${effective}`)) {
    if (directory.length <= mount.length) return undefined;
    directory = dirname(directory);
  }
  const allows = parseCpuList(textIfThere(`${directory}/${effective}`));
  // An empty one says nothing: this process does run somewhere.
  if (allows.length === 0) return undefined;
  const shown = directory.slice(mount.length) || '/';
  return {
    allows,
    why: `the cpuset ${shown}, in which this process runs, has cores ${formatCpuList(allows)}`,
    wayOut: `add it to cpuset.cpus of ${directory} (of a container: its --cpuset-cpus; of a service: AllowedCPUs=)`,
  };
}

/** Path of this process's group in the hierarchy that has cpusets. */
function ownGroup(v1: boolean): string | undefined {
  for (const line of textIfThere('/proc/self/cgroup').split('\n')) {
    const [, controllers = '', path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    if (path === undefined || path.includes('/..')) continue;
    if (v1 ? controllers.split(',').includes('cpuset') : controllers === '') return path === '/' ? '' : path;
  }
  return undefined;
}

/** Functions' groups are made at the top: what others have for themselves alone there is not theirs. */
function cpusetsOfOthers(mounts: CgroupMounts, name: string): CoreLimit[] {
  const top = mounts.v1.get('cpuset');
  if (top === undefined) {
    // Partitions of v2 are taken out of this by the kernel.
    const all = mounts.v2 === undefined ? undefined : readIfThere(`${mounts.v2}/cpuset.cpus.effective`);
    if (all === undefined || all.trim() === '') return [];
    return [
      {
        allows: parseCpuList(all),
        why: `the cpuset of functions can have cores ${all.trim()} only: others are a partition of their own (cpuset.cpus.partition)`,
        wayOut: 'write member to cpuset.cpus.partition of the group that has it',
      },
    ];
  }
  const all = onlineCores();
  return exclusiveSiblings(top, name, 'cpuset.cpus').map(({ directory, numbers }) => ({
    allows: all.filter((core) => !numbers.includes(core)),
    why: `the cpuset ${directory.slice(top.length)} has cores ${formatCpuList(numbers)} for itself alone`,
    wayOut: `write 0 to ${directory}/cpuset.cpu_exclusive`,
  }));
}

function exclusiveSiblings(top: string, name: string, file: 'cpuset.cpus' | 'cpuset.mems') {
  return groupsIn(top)
    .filter((group) => group !== name && readIfThere(`${top}/${group}/${flagOf(file)}`)?.trim() === '1')
    .map((group) => ({
      directory: `${top}/${group}`,
      numbers: parseCpuList(textIfThere(`${top}/${group}/${file}`)),
    }));
}

function flagOf(file: 'cpuset.cpus' | 'cpuset.mems'): string {
  return file === 'cpuset.cpus' ? 'cpuset.cpu_exclusive' : 'cpuset.mem_exclusive';
}

function groupsIn(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => entry.name);
  } catch {
    return [];
  }
}
