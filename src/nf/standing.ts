/**
 * What the groups of an NF mean for it: may functions run beside it, may its threads be real-time, and what its operator
 * should know. Pure, but for `standingOfNf`.
 */

import {
  groupsOf,
  IDLE_SHARES,
  readStanding,
  type Standing,
  WHOLE_MACHINE,
} from '../linux/cgroup/standing.js';
import type { NfInstance } from '../model/nf-profile.js';
import { NF } from '../tunables/index.js';

/** That of its packet threads; the least of each, as they may be in groups of their own. */
export function standingOfNf({ pid, threads }: Pick<NfInstance, 'pid' | 'threads'>): Standing {
  const tids = threads.filter(({ packet }) => packet).map(({ tid }) => tid);
  // Most share all of their groups, and an NF may have dozens of threads.
  const differing = new Map((tids.length === 0 ? [pid] : tids).map((tid) => [groupsOf(pid, tid), tid]));
  const all = [...differing.values()].map((tid) => readStanding(pid, tid));
  const least = <T>(of: (one: Standing) => T | undefined, size: (one: T) => number): T | undefined =>
    all
      .map(of)
      .filter((one) => one !== undefined)
      .sort((a, b) => size(a) - size(b))[0];
  return {
    weight: least(
      ({ weight }) => weight,
      ({ shares }) => shares,
    ),
    quota: least(
      ({ quota }) => quota,
      ({ cores }) => cores,
    ),
    quotaStatPaths: [...new Set(all.flatMap(({ quotaStatPaths }) => quotaStatPaths))],
    realTime: least(
      ({ realTime }) => realTime,
      ({ ratio }) => ratio,
    ),
  };
}

/**
 * Why functions may not run on its core; undefined: they may. Functions are in an idle group, of weight 3: an NF whose
 * group weighs about as little would have to share its core with them. Real-time threads do not.
 */
export function weightRefusal({ weight }: Standing, realTime: boolean): string | undefined {
  if (realTime || weight === undefined || weight.shares >= IDLE_SHARES * NF.weightTimesIdle) return undefined;
  return (
    `its cgroup ${weight.group} has a CPU weight of ${tidy(weight.shares)} of 1024, hardly more than functions have: ` +
    `give it at least ${IDLE_SHARES * NF.weightTimesIdle} (cpu.shares on v1, cpu.weight ${Math.ceil((IDLE_SHARES * NF.weightTimesIdle * 100) / 1024)} on v2; in Kubernetes a CPU request)`
  );
}

/**
 * Why its threads may not be real-time; undefined: they may. Whoever has used up the budget stands still for the rest of
 * its period: a short one is no worse than what the kernel does to all, and a long one is left in time if it is large.
 */
export function realTimeRefusal({ realTime }: Standing): string | undefined {
  if (realTime === undefined) return undefined;
  const { ratio, periodUs, group } = realTime;
  const stoppedUs = periodUs * (1 - ratio);
  if (stoppedUs <= NF.realTimeStopMaxUs) return undefined;
  if (periodUs >= 500_000 && ratio >= NF.realTimeBudgetLeast) return undefined;
  const enough = Math.ceil(periodUs * 0.95);
  const wayOut =
    group === WHOLE_MACHINE
      ? `set it to ${enough}`
      : `write ${enough} to its cpu.rt_runtime_us, after those of the groups above it`;
  return (
    `${named(group)} lets real-time threads run for ${Math.round(ratio * periodUs)} of ${periodUs} us and then stops ` +
    `them: ${wayOut}`
  );
}

function named(group: string): string {
  return group === WHOLE_MACHINE ? group : `its cgroup ${group}`;
}

/** Share of what the kernel lets real-time threads use that its groups let it use, for each of the threads on a core. */
export function realTimeRatio({ realTime }: Standing, threadsPerCore: number): number | undefined {
  if (realTime === undefined) return undefined;
  const ratio = Math.min(1, realTime.ratio / 0.95);
  return ratio === 1 ? undefined : ratio / Math.max(1, threadsPerCore);
}

/** Messages for its operator. `throttledPerS`: stops by its quota lately. */
export function standingNotes(standing: Standing, throttledPerS = 0): string[] {
  const notes: string[] = [];
  const { weight, quota, realTime } = standing;
  if (weight !== undefined && weight.shares < 1024) {
    notes.push(`its cgroup ${weight.group} has a CPU weight of ${tidy(weight.shares)} of 1024`);
  }
  if (quota !== undefined) {
    const stops = throttledPerS > 0 ? `, which stops it ${tidy(throttledPerS)} times a second` : '';
    notes.push(`its cgroup ${quota.group} has a CPU quota of ${tidy(quota.cores)} cores${stops}`);
  }
  if (realTime !== undefined && realTime.ratio < 0.95) {
    notes.push(
      `${named(realTime.group)} lets real-time threads run for ${tidy(realTime.ratio * 100)} % of the time`,
    );
  }
  return notes;
}

function tidy(value: number): string {
  return String(Math.round(value * 100) / 100);
}
