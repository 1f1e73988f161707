/** What the demo found, as data and as text. Pure. */

import type { FeedCore, FeedFrame, FeedNf } from '../../model/feed.js';
import type { TrafficReport } from '../traffic/spec.js';

export const DEMO_SCHEMA = 'nemo.demo/1';

export interface DemoSummary {
  schema: typeof DEMO_SCHEMA;
  seconds: number;
  policy: string;
  nf: {
    profile: string;
    sent: number;
    lost: number;
    lossRatio: number;
    p50Us: number | null;
    p99Us: number | null;
    p999Us: number | null;
    sloP99Us: number;
    sloHeld: boolean;
  };
  core: {
    core: number;
    /** Null where nothing was measured yet. */
    spareRatio: number | null;
    harvestedRatio: number | null;
    harvestEfficiency: number | null;
    conflicts: number;
  };
  functions: { invocations: number; failed: number; starts: { cold: number; stem: number; warm: number } };
}

export function summarizeDemo(
  frame: FeedFrame,
  nf: FeedNf,
  before: FeedCore,
  core: FeedCore,
  report: TrafficReport,
  solo: { p99Us: number | null },
): DemoSummary & { soloP99Us: number | null } {
  const grown = (key: keyof FeedCore['totals']): number => core.totals[key] - before.totals[key];
  const ratio = (part: number, whole: number): number | null => (whole > 0 ? part / whole : null);
  const starts = { cold: 0, stem: 0, warm: 0 };
  let invocations = 0;
  let failed = 0;
  for (const fn of frame.functions) {
    invocations += fn.completed;
    failed += fn.failed;
    for (const kind of ['cold', 'stem', 'warm'] as const) starts[kind] += fn.starts[kind];
  }
  const p99Us = report.latency_us.p99;
  return {
    schema: DEMO_SCHEMA,
    seconds: report.seconds,
    policy: frame.agent.policy,
    nf: {
      profile: nf.profile,
      sent: report.sent,
      lost: report.lost,
      lossRatio: report.sent === 0 ? 0 : report.lost / report.sent,
      p50Us: report.latency_us.p50,
      p99Us,
      p999Us: report.latency_us.p999,
      sloP99Us: nf.sloUs,
      sloHeld: p99Us !== null && p99Us <= nf.sloUs,
    },
    core: {
      core: core.core,
      spareRatio: ratio(grown('spareS'), grown('wallS')),
      harvestedRatio: ratio(grown('harvestedS'), grown('wallS')),
      harvestEfficiency: ratio(grown('harvestedS'), grown('spareS')),
      conflicts: core.conflicts - before.conflicts,
    },
    functions: { invocations, failed, starts },
    soloP99Us: solo.p99Us,
  };
}

export function renderDemoSummary(summary: ReturnType<typeof summarizeDemo>): string {
  const { nf, core, functions } = summary;
  const us = (value: number | null): string =>
    value === null ? '-' : `${value.toFixed(value < 100 ? 1 : 0)} us`;
  const percent = (ratio: number | null): string => (ratio === null ? '-' : `${(100 * ratio).toFixed(1)} %`);
  const rows: Array<[string, string]> = [
    [
      'NF packet latency',
      `p50 ${us(nf.p50Us)}, p99 ${us(nf.p99Us)}, p99.9 ${us(nf.p999Us)} (p99 alone: ${us(summary.soloP99Us)})`,
    ],
    ['NF SLO', `p99 <= ${us(nf.sloP99Us)}: ${nf.sloHeld ? 'held' : 'NOT held'}`],
    ['packets', `${nf.sent} sent, ${nf.lost} lost (${percent(nf.lossRatio)})`],
    [
      `core ${core.core}`,
      `${percent(core.spareRatio)} spare, ${percent(core.harvestedRatio)} harvested: ${percent(core.harvestEfficiency)} of what was spare`,
    ],
    ['conflicts', String(core.conflicts)],
    ['invocations', `${functions.invocations} answered, ${functions.failed} failed`],
    [
      'starts',
      `${functions.starts.warm} warm, ${functions.starts.stem} from a stem, ${functions.starts.cold} cold`,
    ],
  ];
  return rows.map(([what, text]) => `  ${what.padEnd(18)} ${text}`).join('\n');
}
