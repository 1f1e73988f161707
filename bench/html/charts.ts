/** The pictures of the report, each from measured scenarios. Pure; '' where there is nothing to show. */

import type { BenchRound, Estimate, HeadlineName, ScenarioResult } from '../types.js';
import { legend, policyClass, policyName } from './policies.js';
import { axisBelow, axisLeft, figure, line, linear, logarithmic, path, px, short, text } from './svg.js';

const WIDTH = 720;
const ROW = 15;
/** Room for the names of scenarios. */
const LABELS = 250;
const LABEL_MAX = 36;

function cut(label: string): string {
  return label.length > LABEL_MAX ? `${label.slice(0, LABEL_MAX - 1)}…` : label;
}

/** Policies in the order in which they first appear. */
export function policiesOf(results: readonly ScenarioResult[]): string[] {
  return [...new Set(results.flatMap((result) => Object.keys(result.summary)))];
}

/** One row a scenario and policy: the median and the bounds that hold it with 95 % confidence, on a log scale. */
export function dotPlot(
  results: readonly ScenarioResult[],
  name: HeadlineName,
  options: { title: string; unit: string; mark?: number; markName?: string; without?: string[] },
): string {
  const groups = results
    .map((result) => ({
      label: result.scenario.name,
      rows: Object.entries(result.summary)
        .filter(([policy]) => !options.without?.includes(policy))
        .map(([policy, row]) => ({ policy, estimate: row.intervals[name] }))
        .filter((row): row is { policy: string; estimate: Estimate } => (row.estimate?.value ?? 0) > 0),
    }))
    .filter(({ rows }) => rows.length > 0);
  const all = groups.flatMap(({ rows }) => rows.map(({ estimate }) => estimate));
  if (all.length === 0) return '';
  const left = LABELS;
  const height = groups.reduce((sum, { rows }) => sum + rows.length * ROW + 8, 0);
  const values = [
    ...all.flatMap(({ value, low, high }) => [value, low || value, high]),
    ...(options.mark ? [options.mark] : []),
  ];
  const x = logarithmic(Math.min(...values), Math.max(...values), left, WIDTH - 60);
  let at = 6;
  let marks = axisBelow(x, 0, height, options.unit, WIDTH - 60);
  if (options.mark !== undefined) {
    marks += line(x(options.mark), 0, x(options.mark), height, 'mark');
  }
  for (const { label, rows } of groups) {
    marks += text(left - 8, at + (rows.length * ROW) / 2 + 4, cut(label), 'end', 'label');
    for (const { policy, estimate } of rows) {
      const y = at + ROW / 2;
      marks +=
        `<g class="${policyClass(policy)}">` +
        `<title>${policyName(policy)}: ${short(estimate.value)} ${options.unit} (${short(estimate.low)} to ${short(estimate.high)})</title>` +
        line(x(estimate.low), y, x(estimate.high), y, 'bound') +
        `<circle cx="${px(x(estimate.value))}" cy="${px(y)}" r="4" class="dot"/>` +
        text(Math.min(x(estimate.high) + 7, WIDTH - 58), y + 4, short(estimate.value), 'start', 'value') +
        '</g>';
      at += ROW;
    }
    at += 8;
  }
  const shown = [...new Set(groups.flatMap(({ rows }) => rows.map(({ policy }) => policy)))];
  const description = `${options.title}: ${all.length} medians with bounds, ${options.unit}`;
  return (
    legend(shown) + figure({ width: WIDTH, height: height + 34, title: options.title, description }, marks)
  );
}

/** Where the core went: the NF, functions, others, idle; one bar a scenario. */
export function coreShares(results: readonly ScenarioResult[], policy: string): string {
  const bars = results.flatMap((result) => {
    const rounds = result.rounds.filter((round) => round.policy === policy && round.core.wall_us > 0);
    if (rounds.length === 0) return [];
    const share = (of: (round: BenchRound) => number): number =>
      rounds.reduce((sum, round) => sum + of(round) / round.core.wall_us, 0) / rounds.length;
    const nf = Math.min(
      1,
      share(({ core }) => core.nf_us),
    );
    const fn = Math.min(
      1 - nf,
      share(({ core }) => core.function_us),
    );
    const other = Math.min(
      1 - nf - fn,
      share(({ core }) => core.other_us ?? 0),
    );
    return [{ label: result.scenario.name, parts: [nf, fn, other] }];
  });
  if (bars.length === 0) return '';
  const left = LABELS;
  const x = linear(0, 1, left, WIDTH - 24);
  const height = bars.length * 20;
  const kinds = ['nf', 'fn', 'other'];
  const marks = bars.map(({ label, parts }, i) => {
    let from = 0;
    const y = i * 20 + 3;
    const pieces = parts.map((part, kind) => {
      const piece = `<rect x="${px(x(from))}" y="${y}" width="${px(x(part) - x(0))}" height="14" class="share ${kinds[kind]}"><title>${kinds[kind]} ${(part * 100).toFixed(1)} %</title></rect>`;
      from += part;
      return piece;
    });
    return text(left - 8, y + 11, cut(label), 'end', 'label') + pieces.join('');
  });
  const key =
    '<p class="legend"><span class="nf"><i></i>the NF</span><span class="fn"><i></i>functions</span>' +
    '<span class="other"><i></i>other programs</span><span class="rest"><i></i>unused</span></p>';
  const title = `The NF core under ${policyName(policy)}: who used it`;
  const grid = axisBelow(x, 0, height, 'share of the core', WIDTH - 24);
  return (
    key + figure({ width: WIDTH, height: height + 34, title, description: title }, grid + marks.join(''))
  );
}

/** How latency is spread, one line a policy, of the first undisturbed round. */
export function latencyCdf(result: ScenarioResult): string {
  const lines = Object.keys(result.summary).flatMap((policy) => {
    const points = typicalRound(result, policy)?.nf.latency_cdf ?? [];
    return points.length > 1 ? [{ policy, points }] : [];
  });
  if (lines.length === 0) return '';
  const width = 350;
  const [top, bottom, left, right] = [14, 176, 56, width - 18];
  const values = lines.flatMap(({ points }) => points.map(([us]) => us)).filter((us) => us > 0);
  const x = logarithmic(Math.min(...values), Math.max(...values), left, right);
  // Powers of ten of what is still to come: half, a tenth, a hundredth ... is where latency hurts.
  const y = linear(0, 4, bottom, top);
  const nines = (ratio: number): number => Math.min(4, -Math.log10(Math.max(1e-4, 1 - ratio)));
  const grid =
    axisBelow(x, top, bottom, 'us', right) +
    axisLeft(y, left, right, (value) => ['0', '90 %', '99 %', '99.9 %', '99.99 %'][value] ?? '');
  const drawn = lines.map(
    ({ policy, points }) =>
      `<g class="${policyClass(policy)}">${path(
        points.map(([us, ratio]) => [x(us), y(nines(ratio))] as const),
        'curve',
      )}</g>`,
  );
  const title = `${result.scenario.name}: share of packets not slower`;
  return figure({ width, height: bottom + 34, title, description: title }, grid + drawn.join(''));
}

/** One core shared by NF and functions, as it went. */
export function timeline(result: ScenarioResult, policy: string): string {
  const series = result.rounds.find((round) => round.policy === policy && round.timeline)?.timeline;
  if (series === undefined || series.nf_ratio.length < 3) return '';
  const [left, right] = [50, WIDTH - 14];
  const count = series.nf_ratio.length;
  const x = linear(0, (count * series.period_ms) / 1000, left, right);
  const at = (i: number): number => x((i * series.period_ms) / 1000);
  const y = linear(0, 1, 134, 14);
  const area = (low: readonly number[], high: readonly number[], kind: string): string =>
    path(
      [
        ...high.map((value, i) => [at(i), y(Math.min(1, value))] as const),
        ...low.map((value, i) => [at(i), y(Math.min(1, value))] as const).reverse(),
      ],
      `area ${kind}`,
    );
  const nf = series.nf_ratio;
  const both = nf.map((value, i) => value + (series.function_ratio[i] ?? 0));
  const seen = series.nf_p99_us.filter((us): us is number => us !== null && us > 0);
  let marks =
    axisBelow(x, 14, 134, '', right) + axisLeft(y, left, right, (value) => `${Math.round(value * 100)} %`);
  marks +=
    area(
      nf.map(() => 0),
      nf,
      'nf',
    ) + area(nf, both, 'fn');
  let height = 154;
  if (seen.length > 1) {
    const y2 = logarithmic(Math.min(...seen), Math.max(...seen) * 1.01, 248, 176);
    const points = series.nf_p99_us.flatMap((us, i) => (us === null ? [] : [[at(i), y2(us)] as const]));
    marks +=
      axisLeft(y2, left, right) +
      path(points, 'curve latency') +
      text(right, 168, 'NF p99, us', 'end', 'tick');
    height = 260;
  }
  const title = `${result.scenario.name}, ${policyName(policy)}: the core over time, in seconds`;
  return figure({ width: WIDTH, height, title, description: `${title}; below it the NF's p99` }, marks);
}

/** A round that the machine did not disturb, the one with the median p99. */
export function typicalRound(result: ScenarioResult, policy: string): BenchRound | undefined {
  const mine = result.rounds.filter((round) => round.policy === policy);
  const quiet = mine.filter((round) => !round.noisy);
  const rounds = (quiet.length > 0 ? quiet : mine).sort((a, b) => a.nf.latency_us.p99 - b.nf.latency_us.p99);
  return rounds[Math.floor((rounds.length - 1) / 2)];
}
