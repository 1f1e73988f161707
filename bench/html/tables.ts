/** The report's tables, as HTML. Pure. */

import type { BenchPolicySummary, Estimate, HeadlineName, ScenarioResult } from '../types.js';
import { escapeHtml } from './svg.js';
import type { TargetResult } from './targets.js';

export function table(headings: readonly string[], rows: ReadonlyArray<readonly string[]>): string {
  const head = headings.map((heading) => `<th scope="col">${escapeHtml(heading)}</th>`).join('');
  const body = rows.map((row) => `<tr>${row.join('')}</tr>`).join('');
  return `<div class="scroll"><table><thead><tr>${head}</tr></thead><tbody>${body}</tbody></table></div>`;
}

export function cell(content: unknown, kind = ''): string {
  return `<td${kind === '' ? '' : ` class="${kind}"`}>${escapeHtml(content)}</td>`;
}

export function verdictTable(verdicts: readonly TargetResult[]): string {
  const state = (met: boolean | null): string =>
    met === null ? cell('not measured') : met ? cell('met', 'met') : cell('missed', 'missed');
  return table(
    ['promise', 'asked', 'measured', '', 'in'],
    verdicts.map(({ promise, asked, measured, met, from }) => [
      cell(promise, 'words'),
      cell(asked),
      cell(measured),
      state(met),
      cell(from, 'words'),
    ]),
  );
}

const COLUMNS: ReadonlyArray<readonly [HeadlineName, string, number]> = [
  ['nf_p50_us', 'NF p50 us', 1],
  ['nf_p99_us', 'NF p99 us', 0],
  ['nf_p99_ratio_to_solo', 'p99 to solo', 2],
  ['harvest_efficiency', 'harvest efficiency', 3],
  ['function_rate_per_s', 'functions/s', 0],
  ['function_p50_ms', 'function p50 ms', 1],
  ['function_p99_ms', 'function p99 ms', 1],
  ['start_p50_ms', 'start p50 ms', 1],
];

/** Each median with its bounds below it. */
export function scenarioTable(result: ScenarioResult): string {
  const headings = ['policy', ...COLUMNS.map(([, heading]) => heading), 'NF loss', 'rounds (noisy)'];
  const rows = Object.entries(result.summary).map(([policy, row]) => [
    cell(policy),
    ...COLUMNS.map(([name, , digits]) => figureCell(row, name, digits)),
    cell(`${(row.nf_loss_ratio * 100).toFixed(3)} %`),
    cell(`${row.rounds} (${row.noisy_rounds})`),
  ]);
  return table(headings, rows);
}

function figureCell(row: BenchPolicySummary, name: HeadlineName, digits: number): string {
  const value = row[name];
  if (value === null) return cell('-');
  const bounds: Estimate | undefined = row.intervals[name];
  const range =
    bounds === undefined
      ? ''
      : `<br><span class="soft">${bounds.low.toFixed(digits)} to ${bounds.high.toFixed(digits)}</span>`;
  return `<td>${value.toFixed(digits)}${range}</td>`;
}
