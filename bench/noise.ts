/** What disturbed a round that is not part of it: the host, other programs on the NF's core, a generator that fell behind. */

import { existsSync, readFileSync } from 'node:fs';
import { CpuStat, Tick } from '../src/linux/procfs.js';
import type { BenchRound } from './types.js';

/** The kernel's exact time of all tasks of each core, where cgroup v1 has it. */
const USED = ['/sys/fs/cgroup/cpuacct', '/sys/fs/cgroup/cpu,cpuacct', '/sys/fs/cgroup/cpu'].map(
  (folder) => `${folder}/cpuacct.usage_percpu`,
);

/** Starts counting; the returned function says what all tasks used of the core, and what the host took, microseconds. */
export function coreTime(core: number): () => { usedUs: number | null; stolenUs: number } {
  const file = USED.find((path) => existsSync(path));
  const stat = new CpuStat(core + 1);
  const used = (): number | null =>
    file === undefined ? null : Number(readFileSync(file, 'latin1').trim().split(/\s+/)[core]) / 1e3;
  const stolen = (): number => {
    stat.read();
    return stat.get(core, Tick.steal) * 1e4;
  };
  const [usedBefore, stolenBefore] = [used(), stolen()];
  return () => {
    const [usedNow, stolenNow] = [used(), stolen()];
    stat.close();
    const usedUs = usedNow === null || usedBefore === null ? null : usedNow - usedBefore;
    return { usedUs, stolenUs: stolenNow - stolenBefore };
  };
}

/** Whose the core was. Pure. */
export function coreShares(measured: {
  wallUs: number;
  nfUs: number;
  functionUs: number;
  usedUs: number | null;
  stolenUs: number;
}): BenchRound['core'] {
  const { wallUs, nfUs, functionUs, usedUs, stolenUs } = measured;
  return {
    wall_us: wallUs,
    nf_us: nfUs,
    function_us: functionUs,
    spare_us: Math.max(0, wallUs - nfUs),
    ...(usedUs === null ? {} : { other_us: Math.max(0, usedUs - nfUs - functionUs) }),
    stolen_us: stolenUs,
  };
}

/** Beyond these a round says more about the machine than about the policy. */
const LIMITS = { stolenRatio: 0.02, otherRatio: 0.03, noiseP99Us: 1_000, notSentRatio: 0.02 };

/** Why the round should not count; undefined if it should. Pure. */
export function noiseOf(
  round: Pick<BenchRound, 'core' | 'host_noise_p99_us'>,
  notSentRatio: number,
): string | undefined {
  const { wall_us: wall, stolen_us: stolen = 0, other_us: other = 0 } = round.core;
  const percent = (ratio: number): string => `${(ratio * 100).toFixed(1)} %`;
  const noise = round.host_noise_p99_us ?? 0;
  const reasons = [
    stolen / wall > LIMITS.stolenRatio && `the host took ${percent(stolen / wall)} of the NF core`,
    other / wall > LIMITS.otherRatio && `other programs used ${percent(other / wall)} of the NF core`,
    noise > LIMITS.noiseP99Us && `an idle real-time thread woke ${Math.round(noise)} us late (p99)`,
    notSentRatio > LIMITS.notSentRatio && `the generator could not send ${percent(notSentRatio)}`,
  ].filter((reason) => reason !== false);
  return reasons.length === 0 ? undefined : reasons.join('; ');
}
