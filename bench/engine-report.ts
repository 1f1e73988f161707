/** The figures of `bench/engines.ts` as Markdown. Pure. */

import type { EngineBenchReport } from './engines.js';

export function renderEngines(report: EngineBenchReport): string {
  const show = (value: number | null, digits = 1): string => (value === null ? '-' : value.toFixed(digits));
  const lines = [
    `${report.rounds} rounds, medians; echo over a UNIX socket p50 ${show(report.echoP50Us)} us`,
    '',
    '| engine | cold ms | from a stem ms | warm p50 us | x echo | calls/s | calls per CPU-second | MB each |',
    '| --- | --- | --- | --- | --- | --- | --- | --- |',
    ...report.engines.map(
      (row) =>
        `| ${row.name} | ${show(row.coldMs)} | ${show(row.stemMs, 2)} | ${show(row.warmP50Us)} | ${show(row.echoRatio, 2)} | ` +
        `${show(row.callsPerS, 0)} | ${show(row.callsPerCpuS, 0)} | ${show(row.memoryMb)} |`,
    ),
  ];
  const { workerd, many, microvm } = report;
  if (workerd !== undefined) {
    const { coldMs, callsPerS, callsPerCpuS } = workerd;
    lines.push(
      `| workerd, over HTTP | ${show(coldMs)} | - | - | - | ${show(callsPerS, 0)} | ${show(callsPerCpuS, 0)} | - |`,
    );
  }
  if (microvm !== undefined) {
    const { how, bootMs, restoreMs, restores } = microvm;
    const times = bootMs === null || restoreMs === null ? null : bootMs / restoreMs;
    lines.push(
      '',
      `A virtual machine (${how.split(':', 1)[0]}): boot ${show(bootMs, 0)} ms, start from its snapshot ${show(restoreMs)} ms (${restores} times): ${show(times)} times faster`,
    );
  }
  if (many.length === 0) return `${lines.join('\n')}\n`;
  lines.push(
    '',
    '| many warm ones of a sharing group | count | MB each | start ms | call of each in turn ms |',
    '| --- | --- | --- | --- | --- |',
    ...many.map(
      ({ name, count, mbEach, startMs, callMs }) =>
        `| ${name} | ${count} | ${mbEach.toFixed(2)} | ${show(startMs, 2)} | ${show(callMs, 2)} |`,
    ),
    '',
  );
  return lines.join('\n');
}
