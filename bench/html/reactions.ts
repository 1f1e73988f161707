/**
 * How fast conflicts were answered. A throttle has stages: the packet is received, its SLO passes, the NF lets it go (only
 * then somebody can know), the loop sees that and takes the function off the core. Times are kept from each stage to the
 * end; a reader must not subtract quantiles. Pure.
 */

import type { Reactions, ScenarioResult } from '../types.js';
import { policyClass } from './policies.js';
import { axisBelow, figure, line, logarithmic, px, short, text } from './svg.js';
import { cell, table } from './tables.js';

const WIDTH = 720;
const LABELS = 250;
const ROW = 26;
const POLICY = 'nemo';
/** Asked for, from the end of the SLO: p50 and p99. */
const ASKED_US = [500, 2_000];

interface Stage {
  since: string;
  p50: (reactions: Reactions) => number | undefined;
  p99: (reactions: Reactions) => number | undefined;
}

/** In the order in which they come. */
const STAGES: readonly Stage[] = [
  { since: 'the packet was received', p50: (r) => r.packet?.p50, p99: (r) => r.packet?.p99 },
  { since: 'its SLO was over', p50: (r) => r.packet?.over_slo_p50, p99: (r) => r.packet?.over_slo_p99 },
  { since: 'the NF let it go, late', p50: (r) => r.packet?.known_p50, p99: (r) => r.packet?.known_p99 },
  { since: 'the loop’s look before', p50: (r) => r.p50, p99: (r) => r.p99 },
];

export function reactionSection(results: readonly ScenarioResult[]): string {
  const seen = results.flatMap(({ scenario, rounds }) =>
    rounds
      .filter(({ policy, reactions_us }) => policy === POLICY && (reactions_us?.count ?? 0) > 0)
      .map(({ round, reactions_us }) => ({
        name: `${scenario.name}, round ${round}`,
        reactions: reactions_us!,
      })),
  );
  if (seen.length === 0) return '';
  return plot(seen.map(({ reactions }) => reactions)) + roundTable(seen);
}

/** One bar a stage, from the p50 to the p99, each the median over rounds. */
function plot(all: readonly Reactions[]): string {
  const rows = STAGES.map(({ since, p50, p99 }) => ({
    since,
    p50: medianOf(all.map(p50)),
    p99: medianOf(all.map(p99)),
  })).filter((row) => row.p50 > 0 && row.p99 > 0);
  if (rows.length === 0) return '';
  const values = rows.flatMap(({ p50, p99 }) => [p50, p99]);
  const x = logarithmic(
    Math.min(...values, ...ASKED_US),
    Math.max(...values, ...ASKED_US),
    LABELS,
    WIDTH - 60,
  );
  const height = rows.length * ROW + 6;
  let marks = axisBelow(x, 0, height, 'us until the function was off the core, p50 to p99', WIDTH - 60);
  for (const asked of ASKED_US) marks += line(x(asked), 0, x(asked), height, 'mark');
  rows.forEach(({ since, p50, p99 }, i) => {
    const y = i * ROW + ROW / 2 + 3;
    marks +=
      text(LABELS - 8, y + 4, `since ${since}`, 'end', 'label') +
      line(x(p50), y, x(p99), y, 'bound') +
      [p50, p99].map((us) => `<circle cx="${px(x(us))}" cy="${px(y)}" r="4" class="dot"/>`).join('') +
      text(Math.min(x(p99) + 7, WIDTH - 58), y + 4, `${short(p50)}, ${short(p99)}`, 'start', 'value');
  });
  const title = 'Stages of a throttle: how long before the function was off its core';
  const description = rows
    .map(({ since, p50, p99 }) => `since ${since}: p50 ${short(p50)} us, p99 ${short(p99)} us`)
    .join('; ');
  return figure(
    { width: WIDTH, height: height + 34, title, description },
    `<g class="${policyClass(POLICY)}">${marks}</g>`,
  );
}

function roundTable(seen: ReadonlyArray<{ name: string; reactions: Reactions }>): string {
  const us = (value: number | undefined): string => (value === undefined ? '-' : String(Math.round(value)));
  return table(
    ['round', 'throttles', ...STAGES.flatMap(({ since }) => [`since ${since}, p50 us`, 'p99 us'])],
    seen.map(({ name, reactions }) => [
      cell(name),
      cell(reactions.count),
      ...STAGES.flatMap(({ p50, p99 }) => [cell(us(p50(reactions))), cell(us(p99(reactions)))]),
    ]),
  );
}

/** 0: nobody told. */
function medianOf(values: ReadonlyArray<number | undefined>): number {
  const sorted = values.filter((value) => value !== undefined).sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
