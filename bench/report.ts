/** The result as tables: for the terminal and, the same text, for a Markdown file. Pure. */

import type { BenchReport, ScenarioResult } from './types.js';

const figure = (value: number | null | undefined, digits: number): string =>
  value === null || value === undefined || !Number.isFinite(value) ? '-' : value.toFixed(digits);

export function renderMarkdown(report: BenchReport): string {
  const several = report.scenarios.length > 1 ? [renderOverview(report.scenarios)] : [];
  return [`\`${report.command}\``, ...several, ...report.scenarios.map(renderScenario)].join('\n\n');
}

/** A row a scenario: what NEMO and naive co-location do to the NF, and what functions get. */
function renderOverview(scenarios: readonly ScenarioResult[]): string {
  const lines = [
    '| scenario | NF p99 alone us | NEMO: NF p99 to alone | naive: NF p99 to alone | NF loss NEMO / naive | NEMO: of the spare cycles harvested | functions/s NEMO / naive | start p50 ms NEMO / naive |',
    '| --- | --: | --: | --: | --: | --: | --: | --: |',
  ];
  for (const { scenario, summary, skipped } of scenarios) {
    const { solo, nemo, naive } = summary;
    if (nemo === undefined || skipped !== undefined) continue;
    const pair = (nemo: string, other: string): string => (other === '-' ? nemo : `${nemo} / ${other}`);
    const both = (key: 'function_rate_per_s' | 'start_p50_ms', digits: number): string =>
      pair(figure(nemo[key], digits), figure(naive?.[key], digits));
    const loss = (ratio: number | undefined): string =>
      ratio === undefined ? '-' : `${figure(ratio * 100, ratio === 0 ? 0 : 1)} %`;
    const efficiency = nemo.harvest_efficiency;
    const cells = [
      scenario.name,
      figure(solo?.nf_p99_us, 0),
      figure(nemo.nf_p99_ratio_to_solo, 2),
      figure(naive?.nf_p99_ratio_to_solo, 2),
      pair(loss(nemo.nf_loss_ratio), loss(naive?.nf_loss_ratio)),
      efficiency === null ? '-' : `${figure(efficiency * 100, 1)} %`,
      both('function_rate_per_s', 0),
      both('start_p50_ms', 1),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  return lines.join('\n');
}

function renderScenario(result: ScenarioResult): string {
  const { scenario } = result;
  if (result.skipped !== undefined) return `**${scenario.name}**: ${result.skipped}\n`;
  const lines = [
    `**${scenario.name}**: ${scenario.about}`,
    '',
    '| policy | NF p50 us | NF p99 us | p99 to solo | NF loss | harvest efficiency | functions/s | function p50 ms | function p99 ms | start p50 ms |',
    '| --- | --: | --: | --: | --: | --: | --: | --: | --: | --: |',
  ];
  for (const [policy, row] of Object.entries(result.summary)) {
    const cells = [
      policy,
      figure(row.nf_p50_us, 1),
      figure(row.nf_p99_us, 0),
      figure(row.nf_p99_ratio_to_solo, 2),
      `${figure(row.nf_loss_ratio * 100, 3)} %`,
      figure(row.harvest_efficiency, 3),
      figure(row.function_rate_per_s, 0),
      figure(row.function_p50_ms, 1),
      figure(row.function_p99_ms, 1),
      figure(row.start_p50_ms, 2),
    ];
    lines.push(`| ${cells.join(' | ')} |`);
  }
  const { gateway, idle } = result;
  if (gateway !== undefined && idle !== undefined) {
    const many = gateway.callers_many;
    lines.push(
      '',
      '| the box without NF load | |',
      '| --- | --: |',
      `| warm no-op call, one caller, p50 / p99 | ${figure(gateway.callers_one.p50_ms, 3)} / ${figure(gateway.callers_one.p99_ms, 3)} ms |`,
      `| warm no-op calls, ${many.callers} callers | ${figure(many.rate_per_s, 0)} /s |`,
      `| agent without load, CPU | ${figure(idle.agent_cpu_ratio * 100, 2)} % of one core |`,
      `| agent without load, memory | ${figure(idle.agent_rss_bytes / 1e6, 0)} MB |`,
    );
  }
  return `${lines.join('\n')}\n`;
}
