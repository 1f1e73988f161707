/** From rounds to one row a policy: medians over rounds, ratios inside a round. Pure. */

import type { BenchPolicySummary, BenchRound } from './types.js';

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

const present = (values: ReadonlyArray<number | null>): number[] =>
  values.filter((value): value is number => value !== null && Number.isFinite(value));

export function summarize(
  rounds: readonly BenchRound[],
  seconds: number,
): Record<string, BenchPolicySummary> {
  const summary: Record<string, BenchPolicySummary> = {};
  for (const policy of new Set(rounds.map((round) => round.policy))) {
    const mine = rounds.filter((round) => round.policy === policy);
    const ratios = mine.map((round) => {
      const solo = rounds.find((other) => other.policy === 'solo' && other.round === round.round);
      return solo === undefined ? null : round.nf.latency_us.p99 / solo.nf.latency_us.p99;
    });
    const sent = mine.reduce((sum, round) => sum + round.nf.sent, 0);
    const lost = mine.reduce((sum, round) => sum + round.nf.lost, 0);
    const withFunctions = mine.filter((round) => round.functions.completed > 0);
    summary[policy] = {
      nf_p50_us: median(mine.map((round) => round.nf.latency_us.p50)) ?? Number.NaN,
      nf_p99_us: median(mine.map((round) => round.nf.latency_us.p99)) ?? Number.NaN,
      nf_p99_ratio_to_solo: median(present(ratios)),
      nf_loss_ratio: sent === 0 ? 0 : lost / sent,
      harvest_efficiency: median(
        withFunctions.map((round) => Math.min(1, round.core.function_us / round.core.spare_us)),
      ),
      function_rate_per_s: median(withFunctions.map((round) => round.functions.completed / seconds)),
      function_p50_ms: median(present(mine.map((round) => round.functions.latency_ms.p50))),
      function_p99_ms: median(present(mine.map((round) => round.functions.latency_ms.p99))),
      start_p50_ms: median(present(mine.map((round) => round.functions.start_ms.p50))),
    };
  }
  return summary;
}
