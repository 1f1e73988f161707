/** From rounds to one row a policy: medians over rounds with their bounds, ratios inside a round. Pure. */

import { estimate, median, present } from './statistics.js';
import type { BenchPolicySummary, BenchRound, HeadlineName } from './types.js';

/** Fewer quiet rounds than this say less than all rounds do. */
const QUIET_ROUNDS_MIN = 3;
/** Share of the core below which an efficiency would be a quotient of rounding errors. */
const SPARE_MIN = 0.03;

/** `saturating`: functions asked for more than there was, so that what they did not get was not harvested. */
export function summarize(
  rounds: readonly BenchRound[],
  seconds: number,
  saturating = true,
): Record<string, BenchPolicySummary> {
  const summary: Record<string, BenchPolicySummary> = {};
  for (const policy of new Set(rounds.map((round) => round.policy))) {
    summary[policy] = summarizePolicy(
      rounds.filter((round) => round.policy === policy),
      rounds,
      seconds,
      saturating,
    );
  }
  return summary;
}

function summarizePolicy(
  mine: readonly BenchRound[],
  all: readonly BenchRound[],
  seconds: number,
  saturating: boolean,
): BenchPolicySummary {
  const soloOf = (round: BenchRound): BenchRound | undefined =>
    all.find((other) => other.policy === 'solo' && other.round === round.round);
  // A ratio needs both of its rounds quiet.
  const quiet = mine.filter((round) => !round.noisy && !soloOf(round)?.noisy);
  const used = quiet.length >= Math.min(QUIET_ROUNDS_MIN, mine.length) ? quiet : mine;
  const noisy = mine.filter((round) => round.noisy).length;
  const withFunctions = used.filter((round) => round.functions.completed > 0);
  const values: Record<HeadlineName, number[]> = {
    nf_p50_us: present(used.map((round) => round.nf.latency_us.p50)),
    nf_p99_us: present(used.map((round) => round.nf.latency_us.p99)),
    nf_p99_ratio_to_solo: present(
      used.map((round) => round.nf.latency_us.p99 / (soloOf(round)?.nf.latency_us.p99 ?? Number.NaN)),
    ),
    harvest_efficiency: present(saturating ? withFunctions.map(efficiencyOf) : []),
    function_rate_per_s: withFunctions.map((round) => round.functions.completed / seconds),
    function_p50_ms: present(used.map((round) => round.functions.latency_ms.p50)),
    function_p99_ms: present(used.map((round) => round.functions.latency_ms.p99)),
    start_p50_ms: present(used.map((round) => round.functions.start_ms.p50)),
  };
  const medians = {} as Record<HeadlineName, number | null>;
  const intervals: BenchPolicySummary['intervals'] = {};
  for (const name of Object.keys(values) as HeadlineName[]) {
    medians[name] = median(values[name]);
    const bounds = estimate(values[name]);
    if (bounds !== undefined) intervals[name] = bounds;
  }
  // Loss is never excused by noise: over all rounds.
  const sent = mine.reduce((sum, round) => sum + round.nf.sent, 0);
  const lost = mine.reduce((sum, round) => sum + round.nf.lost, 0);
  return {
    ...medians,
    nf_loss_ratio: sent === 0 ? 0 : lost / sent,
    intervals,
    rounds: mine.length,
    noisy_rounds: noisy,
    ...(used.length < mine.length
      ? { note: `${mine.length - used.length} rounds left out: the machine itself was disturbed` }
      : noisy > 0
        ? { note: `too few quiet rounds (${quiet.length} of ${mine.length}): all are counted` }
        : {}),
  };
}

/** What functions used of what the NF left. A polling NF leaves nothing that could be told from its polling. */
function efficiencyOf({ core }: BenchRound): number | null {
  if (core.spare_us < SPARE_MIN * core.wall_us) return null;
  return Math.min(1, core.function_us / core.spare_us);
}
