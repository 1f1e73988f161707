/** What the agent records for operators and the owners of functions: events, logs, counts and traces of calls. */

import type { AgentConfig } from '../config/config.js';
import { CallCounts } from '../telemetry/call-counts.js';
import { createEventLog } from '../telemetry/event-log.js';
import { createLogBook } from '../telemetry/log-book.js';
import { CallTraces } from '../telemetry/traces/call-traces.js';
import { LOGS, TRACE } from '../tunables/index.js';
import { AgentEvents } from './agent-events.js';
import type { Closers } from './stopping.js';

export interface Records {
  log: ReturnType<typeof createEventLog>;
  events: AgentEvents;
  logs: ReturnType<typeof createLogBook>;
  calls: CallCounts;
  traces: CallTraces;
  /** Drops what is kept of a function that is gone. */
  forget(functionKey: string): void;
}

/** `isFunction`: nothing is kept of a key that no function has. */
export async function openRecords(
  { otlp }: AgentConfig,
  isFunction: (functionKey: string) => boolean,
  closers: Closers,
): Promise<Records> {
  const log = createEventLog();
  const logs = createLogBook(LOGS, isFunction);
  const calls = new CallCounts(isFunction);
  const traces = new CallTraces(TRACE, isFunction);
  if (otlp !== undefined) {
    const { createOtlpExporter } = await import('../telemetry/traces/otlp.js');
    const exporter = createOtlpExporter(otlp);
    traces.onTrace((trace, parent) => exporter.export(trace, parent));
    closers.push(() => exporter.close());
  }
  return {
    ...{ log, events: new AgentEvents(log), logs, calls, traces },
    forget(functionKey) {
      for (const kept of [logs, traces, calls]) kept.forget(functionKey);
    },
  };
}
