/** What NEMO promises, beside what a report measured: met or missed, never rounded in its favour. Pure. */

import { PROMISES } from '../promises.js';
import type { BenchReport, HeadlineName, ScenarioResult } from '../types.js';

export interface TargetResult {
  promise: string;
  asked: string;
  /** '-' where the report did not measure it. */
  measured: string;
  met: boolean | null;
  /** Scenarios that were looked at. */
  from: string;
}

const POLICY = 'nemo';

export function verdicts({ scenarios }: BenchReport): TargetResult[] {
  const usable = scenarios.filter(({ summary }) => summary[POLICY] !== undefined);
  const sleepMode = usable.filter(
    ({ scenario }) => scenario.mode === 'sleep' && scenario.arrivals === 'closed',
  );
  const loaded = (low: number, high: number): ScenarioResult[] =>
    sleepMode.filter(
      ({ scenario: { loadRatio, pattern, nf } }) =>
        loadRatio !== null &&
        loadRatio >= low &&
        loadRatio <= high &&
        pattern === 'steady' &&
        !/[+]/.test(nf),
    );
  const middle = loaded(0.3, 0.7).filter(({ scenario }) => scenario.roundCount >= 9);
  const high = loaded(0.9, 0.9);
  const azure = usable.filter(({ scenario }) => scenario.arrivals === 'azure');
  return [
    worst(
      'NF p99 at 30-70 % load, to solo',
      PROMISES.p99RatioMiddleLoad.limit,
      'nf_p99_ratio_to_solo',
      middle,
    ),
    worst('NF p99 at 90 % load, to solo', PROMISES.p99RatioHighLoad.limit, 'nf_p99_ratio_to_solo', high),
    least(
      'harvest efficiency at 30-70 % load',
      PROMISES.harvestEfficiency.limit,
      'harvest_efficiency',
      middle,
    ),
    addedLoss(sleepMode),
    startGain(azure),
    ...reactions(usable),
  ];
}

function worst(promise: string, limit: number, name: HeadlineName, results: ScenarioResult[]): TargetResult {
  const value = extreme(results, name, Math.max);
  return verdict(
    promise,
    `<= ${limit}`,
    value?.toFixed(2),
    value === undefined ? null : value <= limit,
    results,
  );
}

function least(promise: string, limit: number, name: HeadlineName, results: ScenarioResult[]): TargetResult {
  const value = extreme(results, name, Math.min);
  return verdict(
    promise,
    `>= ${limit}`,
    value?.toFixed(3),
    value === undefined ? null : value >= limit,
    results,
  );
}

function extreme(
  results: ScenarioResult[],
  name: HeadlineName,
  of: (...all: number[]) => number,
): number | undefined {
  const values = results.flatMap(({ summary }) => summary[POLICY]?.[name] ?? []);
  return values.length === 0 ? undefined : of(...values);
}

/** Packets lost beyond what the NF lost alone in the same scenario, over all. */
function addedLoss(results: ScenarioResult[]): TargetResult {
  let added = 0;
  let sent = 0;
  const compared = results.filter(({ summary }) => summary.solo !== undefined);
  for (const { rounds } of compared) {
    const sum = (policy: string, key: 'lost' | 'sent'): number =>
      rounds.filter((round) => round.policy === policy).reduce((total, round) => total + round.nf[key], 0);
    added += Math.max(0, sum(POLICY, 'lost') - sum('solo', 'lost'));
    sent += sum(POLICY, 'sent');
  }
  const shown = sent === 0 ? undefined : `${added} of ${sent} packets`;
  return verdict(
    'packets lost that the NF does not lose alone',
    String(PROMISES.addedLossPackets.limit),
    shown,
    sent === 0 ? null : added <= PROMISES.addedLossPackets.limit,
    compared,
  );
}

function startGain(results: ScenarioResult[]): TargetResult {
  const { limit } = PROMISES.startGain;
  const gains = results.flatMap(({ summary }) => {
    const [naive, nemo] = [summary.naive?.start_p50_ms, summary[POLICY]?.start_p50_ms];
    return naive && nemo ? [naive / nemo] : [];
  });
  const gain = gains.length === 0 ? undefined : Math.min(...gains);
  return verdict(
    "median start under the Azure trace, naive's to NEMO's",
    `>= ${limit}`,
    gain?.toFixed(1),
    gain === undefined ? null : gain >= limit,
    results,
  );
}

function reactions(results: ScenarioResult[]): TargetResult[] {
  const seen = results.filter(({ rounds }) =>
    rounds.some((round) => round.policy === POLICY && round.reactions_us),
  );
  const all = seen.flatMap(({ rounds }) =>
    rounds.flatMap((round) =>
      round.policy === POLICY && round.reactions_us?.packet ? [round.reactions_us.packet] : [],
    ),
  );
  const middle = (key: 'over_slo_p50' | 'over_slo_p99'): number | undefined => {
    const sorted = all.map((one) => one[key]).sort((a, b) => a - b);
    return sorted[Math.floor(sorted.length / 2)];
  };
  const [p50, p99] = [middle('over_slo_p50'), middle('over_slo_p99')];
  const promise = "from the moment in which a packet's SLO was over to the throttle";
  const within = (name: string, us: number | undefined, limitMs: number): TargetResult => {
    const shown = us === undefined ? undefined : `${(us / 1000).toFixed(2)} ms`;
    const met = us === undefined ? null : us <= 1000 * limitMs;
    return verdict(`${promise}, ${name}`, `<= ${limitMs} ms`, shown, met, seen);
  };
  return [within('p50', p50, PROMISES.reactionP50Ms.limit), within('p99', p99, PROMISES.reactionP99Ms.limit)];
}

function verdict(
  promise: string,
  asked: string,
  measured: string | undefined,
  met: boolean | null,
  results: readonly ScenarioResult[],
): TargetResult {
  const from =
    results.length > 4
      ? `${results.length} scenarios`
      : results.map(({ scenario }) => scenario.name).join(', ');
  return {
    promise,
    asked,
    measured: measured ?? '-',
    met: measured === undefined ? null : met,
    from: from || 'not measured',
  };
}
