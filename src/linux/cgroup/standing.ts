/**
 * What the groups that a process is in let it have of a core, all the way up: its weight against other groups, a CPU
 * quota, real-time runtime. Others made these groups (systemd, Docker, kubelet), so NEMO reads them and changes nothing.
 * https://docs.kernel.org/scheduler/sched-bwc.html, sched-rt-group.html, admin-guide/cgroup-v2.html
 */

import { readIfThere, textIfThere } from '../if-there.js';
import { parseCgroupMounts } from './mounts.js';
import { CGROUP_MOUNT_POINT } from './open.js';

export interface Standing {
  /**
   * The least weight of its groups, in `cpu.shares` (1024 is the default; v2 `cpu.weight` 100 is as much), and whose it
   * is; undefined: it is in the root group. A group of little weight gives its parents little, too: so the least counts.
   */
  weight: { shares: number; group: string } | undefined;
  /** The strictest CPU quota, in cores; undefined: none. */
  quota: { cores: number; group: string } | undefined;
  /** `cpu.stat` of each group with a quota. */
  quotaStatPaths: string[];
  /** The least share of time for real-time threads, and the length of its period; undefined: the kernel has no such limit. */
  realTime: { ratio: number; periodUs: number; group: string } | undefined;
}

/** One group, as its files say; undefined: there is no such file. */
export interface GroupFacts {
  /** Below the mount point. */
  group: string;
  directory: string;
  idle?: boolean;
  shares?: number;
  quotaCores?: number;
  realTimeRatio?: number;
  realTimePeriodUs?: number;
}

/** What groups together let a member have. Pure. `groups`: without the root group. */
export function standingOf(groups: readonly GroupFacts[]): Standing {
  const standing: Standing = { weight: undefined, quota: undefined, quotaStatPaths: [], realTime: undefined };
  for (const { group, directory, idle, shares, quotaCores, realTimeRatio, realTimePeriodUs } of groups) {
    // The kernel gives an idle group the weight 3, whatever its shares say.
    const weight = idle === true ? IDLE_SHARES : shares;
    if (weight !== undefined && weight < (standing.weight?.shares ?? Number.POSITIVE_INFINITY)) {
      standing.weight = { shares: weight, group };
    }
    if (quotaCores !== undefined) {
      standing.quotaStatPaths.push(`${directory}/cpu.stat`);
      if (quotaCores < (standing.quota?.cores ?? Number.POSITIVE_INFINITY)) {
        standing.quota = { cores: quotaCores, group };
      }
    }
    if (realTimeRatio !== undefined && realTimeRatio < (standing.realTime?.ratio ?? 1)) {
      standing.realTime = { ratio: realTimeRatio, periodUs: realTimePeriodUs ?? 1e6, group };
    }
  }
  return standing;
}

/** The weight of a `cpu.idle` group: WEIGHT_IDLEPRIO of the kernel. */
export const IDLE_SHARES = 3;

/** Of one thread now. A thread that is gone, or a host without the cpu controller, has no limits. */
export function readStanding(pid: number, tid = pid, mountPoint = CGROUP_MOUNT_POINT): Standing {
  const where = cpuGroup(pid, tid, mountPoint);
  if (where === undefined) return standingOf([wholeMachine()]);
  const { mount, path, v2 } = where;
  const parts = path.split('/').filter((part) => part !== '');
  const groups = parts.map((_, i) => {
    const group = `/${parts.slice(0, i + 1).join('/')}`;
    return v2 ? readV2(group, mount + group) : readV1(group, mount + group);
  });
  return standingOf([wholeMachine(), ...groups]);
}

/** Above all groups: what real-time threads of the whole machine may use. */
export const WHOLE_MACHINE = 'kernel.sched_rt_runtime_us';
function wholeMachine(): GroupFacts {
  const facts: GroupFacts = { group: WHOLE_MACHINE, directory: '' };
  const runtimeUs = numberIn('/proc/sys/kernel/sched_rt_runtime_us');
  const periodUs = numberIn('/proc/sys/kernel/sched_rt_period_us');
  if (runtimeUs === undefined || runtimeUs < 0 || periodUs === undefined) return facts;
  return { ...facts, realTimeRatio: runtimeUs / periodUs, realTimePeriodUs: periodUs };
}

/** The kernel's list of a thread's groups: the same text, the same groups. Empty: it is gone. */
export function groupsOf(pid: number, tid: number): string {
  return textIfThere(`/proc/${pid}/task/${tid}/cgroup`);
}

/** The hierarchy that has the cpu controller, and the thread's group there. */
function cpuGroup(pid: number, tid: number, mountPoint: string) {
  const lines = groupsOf(pid, tid).split('\n');
  const mounts = parseCgroupMounts(textIfThere('/proc/self/mountinfo'), mountPoint);
  const v1 = mounts.v1.get('cpu');
  for (const line of lines) {
    const [, controllers = '', path] = /^\d+:([^:]*):(.*)$/.exec(line) ?? [];
    // A path outside of what we see of the hierarchy (`/../..`) tells of nothing that we could read.
    if (path === undefined || path.includes('/..')) continue;
    if (v1 !== undefined && controllers.split(',').includes('cpu')) return { mount: v1, path, v2: false };
    if (v1 === undefined && controllers === '' && mounts.v2 !== undefined) {
      return { mount: mounts.v2, path, v2: true };
    }
  }
  return undefined;
}

function readV1(group: string, directory: string): GroupFacts {
  const facts: GroupFacts = { group, directory };
  const number = (file: string) => numberIn(`${directory}/${file}`);
  const shares = number('cpu.shares');
  if (shares !== undefined) facts.shares = shares;
  if (number('cpu.idle') === 1) facts.idle = true;
  const [quotaUs, periodUs] = [number('cpu.cfs_quota_us'), number('cpu.cfs_period_us')];
  if (quotaUs !== undefined && quotaUs > 0 && periodUs !== undefined) facts.quotaCores = quotaUs / periodUs;
  const [runtimeUs, realTimePeriodUs] = [number('cpu.rt_runtime_us'), number('cpu.rt_period_us')];
  if (runtimeUs !== undefined && runtimeUs >= 0 && realTimePeriodUs !== undefined) {
    facts.realTimeRatio = runtimeUs / realTimePeriodUs;
    facts.realTimePeriodUs = realTimePeriodUs;
  }
  return facts;
}

function readV2(group: string, directory: string): GroupFacts {
  const facts: GroupFacts = { group, directory };
  const weight = numberIn(`${directory}/cpu.weight`);
  if (weight !== undefined) facts.shares = (weight * 1024) / 100;
  if (numberIn(`${directory}/cpu.idle`) === 1) facts.idle = true;
  const [quota, period] = textIfThere(`${directory}/cpu.max`).trim().split(' ');
  if (quota !== undefined && /^\d+$/.test(quota))
    facts.quotaCores = Number(quota) / Number(period ?? 100_000);
  return facts;
}

function numberIn(path: string): number | undefined {
  const text = readIfThere(path)?.trim();
  return text === undefined || text === '' ? undefined : Number(text);
}
