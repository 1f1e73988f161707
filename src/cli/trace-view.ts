/** A call's time line for people: one row a call, its stages as a bar on the scale of the longest. Pure. */

import type { CallTrace } from '../model/call-trace.js';
import { formatBytes } from '../model/quantity.js';
import { formatTable } from './table.js';

const BAR_COLUMNS = 32;
const STAGES = [
  ['queuedMs', '.'],
  ['startMs', '+'],
  ['turnMs', '-'],
  ['runMs', '#'],
  ['replyMs', '>'],
] as const;

export function traceView(traces: readonly CallTrace[]): string {
  const longestMs = Math.max(...traces.map((trace) => trace.totalMs));
  const rows = traces.map((trace) => [
    new Date(trace.timeMs).toISOString().slice(11, 23),
    ms(trace.totalMs),
    ms(trace.queuedMs),
    ms(trace.startMs),
    ms(trace.turnMs),
    ms(trace.runMs),
    ms(trace.replyMs),
    trace.cpuMs === null ? '-' : ms(trace.cpuMs),
    trace.memoryBytes === null ? '-' : formatBytes(trace.memoryBytes),
    trace.faults === null ? '-' : String(trace.faults),
    trace.core < 0 ? '-' : String(trace.core),
    trace.sandboxId || '-',
    `${trace.source} ${trace.caller}`,
    trace.error ?? trace.start ?? '-',
    `|${bar(trace, longestMs)}`,
  ]);
  const headings = ['TIME (UTC)', 'MS', 'QUEUED', 'START', 'TURN', 'RUN', 'REPLY', 'CPU', 'MEMORY', 'FAULTS'];
  const table = formatTable([...headings, 'CORE', 'SANDBOX', 'FROM', 'HOW', ''], rows);
  return `${table}queued .  sandbox starts +  waits for its turn -  runs #  answers >   the longest took ${ms(longestMs)} ms\n`;
}

/** A stage that took any time at all but less than half a column is left out. */
function bar(trace: CallTrace, longestMs: number): string {
  return STAGES.map(([key, mark]) => mark.repeat(Math.round((trace[key] / longestMs) * BAR_COLUMNS))).join(
    '',
  );
}

function ms(value: number): string {
  return value.toFixed(value < 10 ? 2 : 1);
}
