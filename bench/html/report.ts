/**
 * A whole bench report as one HTML file that loads nothing: pictures first, then every figure. What was not measured
 * is left out, what was missed is said.
 */

import type { BenchReport, ScenarioResult } from '../types.js';
import { coreShares, dotPlot, latencyCdf, policiesOf, timeline } from './charts.js';
import { legend } from './policies.js';
import { reactionSection } from './reactions.js';
import { css } from './style.js';
import { escapeHtml } from './svg.js';
import { cell, scenarioTable, table, verdictTable } from './tables.js';
import { verdicts } from './targets.js';

const CDFS_MAX = 12;
const TIMELINES_MAX = 4;

export function renderReport(report: BenchReport): string {
  const results = report.scenarios.filter(
    ({ skipped, rounds }) => skipped === undefined && rounds.length > 0,
  );
  const policies = policiesOf(results);
  const steady = results.filter(
    ({ scenario }) => scenario.pattern === 'steady' && scenario.nf === 'firewall',
  );
  const cdfs = results
    .map(latencyCdf)
    .filter((picture) => picture !== '')
    .slice(0, CDFS_MAX);
  const timelines = results
    .map((result) => timeline(result, 'nemo'))
    .filter((picture) => picture !== '')
    .slice(0, TIMELINES_MAX);
  const sections = [
    section('Promises', '', verdictTable(verdicts(report))),
    section(
      'Does the network function notice?',
      'The NF’s p99 latency divided by its p99 alone in the same round: left of the line it is faster than alone. Dots are medians over rounds, bars hold the median with 95 % confidence.',
      dotPlot(results, 'nf_p99_ratio_to_solo', {
        title: 'NF p99 to solo',
        unit: 'times solo',
        mark: 1,
        without: ['solo'],
      }),
    ),
    section(
      'How much is harvested?',
      'What the functions used of the NF’s core, against load.',
      coreShares(steady.length > 1 ? steady : results, 'nemo') +
        dotPlot(results, 'harvest_efficiency', {
          title: 'Harvest efficiency: function time / time that the NF left',
          unit: 'of spare time',
          mark: 1,
        }),
    ),
    section(
      'How is latency spread?',
      'Share of packets that were not slower than so many microseconds; each step up is a tenth of what is left.',
      cdfs.length === 0 ? '' : `${legend(policies)}<div class="pair">${cdfs.join('')}</div>`,
    ),
    section(
      'What happens on the core?',
      '',
      timelines.length === 0
        ? ''
        : `<p class="legend"><span class="nf"><i></i>the NF</span><span class="fn"><i></i>functions</span></p>${timelines.join('')}`,
    ),
    section(
      'What do functions get?',
      '',
      dotPlot(results, 'function_p50_ms', {
        title: 'Function latency, p50, from call to answer',
        unit: 'ms',
      }) +
        dotPlot(results, 'start_p50_ms', {
          title: 'First answer of a sandbox that never ran before, p50',
          unit: 'ms',
        }),
    ),
    section('How fast is a conflict answered?', '', reactionSection(results)),
    section('The box without NF load', '', boxTable(results)),
    section(
      'All figures',
      'Medians over rounds, below them the bounds that hold them with 95 % confidence.',
      results.map(details).join(''),
    ),
    section('How it was measured', '', method(report)),
  ];
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>NEMO bench report</title><style>${css()}</style></head><body><header><h1>NEMO beside network functions</h1><p class="soft">${results.length} scenarios, ${escapeHtml(report.startedAt.slice(0, 16).replace('T', ' '))} UTC, commit ${escapeHtml(report.commit?.slice(0, 12) ?? 'unknown')}${report.partial ? ', <strong>not finished</strong>' : ''}</p></header><main>${sections.join('')}</main></body></html>\n`;
}

function section(title: string, about: string, content: string): string {
  if (content === '') return '';
  return `<section><h2>${escapeHtml(title)}</h2>${about === '' ? '' : `<p>${escapeHtml(about)}</p>`}${content}</section>`;
}

function details(result: ScenarioResult): string {
  const { scenario } = result;
  const notes = Object.entries(result.summary).flatMap(([policy, row]) =>
    row.note ? [`${policy}: ${row.note}`] : [],
  );
  const { capacity, slo_us } = scenario;
  if (slo_us !== undefined) notes.push(`SLO: p99 ${slo_us} us`);
  if (capacity !== undefined) {
    notes.push(
      `100 % load is ${Math.round(capacity.packetsPerS)}/s, limited by ${capacity.limitedBy}${capacity.nfCost === null ? '' : `; the NF was made dearer: ${capacity.nfCost}`}`,
    );
  }
  const said = notes.map((note) => `<p class="soft">${escapeHtml(note)}</p>`).join('');
  return `<h3>${escapeHtml(scenario.name)}</h3><p class="soft">${escapeHtml(scenario.about)}</p>${scenarioTable(result)}${said}`;
}

function boxTable(results: readonly ScenarioResult[]): string {
  const box = results.find(({ gateway, idle }) => gateway !== undefined && idle !== undefined);
  if (box === undefined) return '';
  const { callers_one: one, callers_many: many } = box.gateway!;
  return table(
    ['', 'measured'],
    [
      [
        cell('warm no-op call, one caller, p50 / p99'),
        cell(`${one.p50_ms.toFixed(3)} / ${one.p99_ms.toFixed(3)} ms`),
      ],
      [cell(`warm no-op calls, ${many.callers} callers`), cell(`${Math.round(many.rate_per_s)} /s`)],
      [
        cell('agent without load, CPU'),
        cell(`${(box.idle!.agent_cpu_ratio * 100).toFixed(2)} % of one core`),
      ],
      [cell('agent without load, memory'), cell(`${Math.round(box.idle!.agent_rss_bytes / 1e6)} MB`)],
    ],
  );
}

function method(report: BenchReport): string {
  const host = Object.entries(report.host).map(([key, value]) => `${key} ${value}`);
  const skipped = report.scenarios.filter(({ skipped: why }) => why !== undefined);
  return (
    `<p>All policies run in every round, in changing order, beside the same traffic; ratios are taken inside a round. A real-time thread that does nothing else measures how late the machine itself is: rounds in which it was disturbed are marked noisy and left out of medians where enough others remain; loss always counts. Transit is the kernel’s receive time minus the real send time, so a late generator never reads as a slow NF.</p>` +
    `<p><code>${escapeHtml(report.command)}</code></p><p class="soft">${escapeHtml(host.join(', '))}; from ${escapeHtml(report.startedAt)} to ${escapeHtml(report.finishedAt ?? 'open end')}</p>` +
    skipped
      .map(
        ({ scenario, skipped: why }) =>
          `<p class="soft">${escapeHtml(scenario.name)} did not run: ${escapeHtml(why)}</p>`,
      )
      .join('')
  );
}
