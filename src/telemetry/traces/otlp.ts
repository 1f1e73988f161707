/**
 * Sends the time line of calls to an OpenTelemetry collector (OTLP over HTTP): one span a call, one below it for each
 * stage. A collector that is slow or away costs lost spans, never a call. Loaded only where it is configured.
 */

import {
  type Context,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  trace as traceApi,
} from '@opentelemetry/api';
import { OTLPTraceExporter } from '@opentelemetry/exporter-trace-otlp-http';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  BatchSpanProcessor,
  ParentBasedSampler,
  TraceIdRatioBasedSampler,
  TracerProvider,
} from '@opentelemetry/sdk-trace';
import type { CallSource, TraceParent } from '../../model/call.js';
import type { CallTrace } from '../../model/call-trace.js';
import { VERSION } from '../../model/version.js';

export interface OtlpOptions {
  /** For example http://127.0.0.1:4318/v1/traces. */
  url: string;
  /** Share of calls that are sent; a caller's own `traceparent` decides for its call. */
  sampleRatio: number;
  /** Sent with every export, for example an API key. */
  headers?: Record<string, string>;
}

export interface TraceExporter {
  /** `parent`: the span of whoever called. */
  export(trace: Readonly<CallTrace>, parent: TraceParent | undefined): void;
  /** Sends what is left, for at most a few seconds. Never rejects. */
  close(): Promise<void>;
}

const CLOSE_MS = 3_000;
const STAGES = [
  ['queued', 'queuedMs'],
  ['start', 'startMs'],
  ['turn', 'turnMs'],
  ['run', 'runMs'],
  ['reply', 'replyMs'],
] as const;

export function createOtlpExporter({ url, sampleRatio, headers }: OtlpOptions): TraceExporter {
  const exporter = new OTLPTraceExporter({ url, timeoutMillis: CLOSE_MS, ...(headers ? { headers } : {}) });
  const provider = new TracerProvider({
    resource: resourceFromAttributes({ 'service.name': 'nemo', 'service.version': VERSION }),
    sampler: new ParentBasedSampler({ root: new TraceIdRatioBasedSampler(sampleRatio) }),
    spanProcessors: [new BatchSpanProcessor({ exporter })],
  });
  const tracer = provider.getTracer('nemo');
  return {
    export(call, parent) {
      const context = parent === undefined ? ROOT_CONTEXT : below(parent);
      const span = tracer.startSpan(
        `invoke ${call.functionName}`,
        { kind: call.mode === 'sync' ? SpanKind.SERVER : SpanKind.CONSUMER, startTime: call.timeMs },
        context,
      );
      if (span.isRecording()) {
        describe(span, call);
        const itself = traceApi.setSpan(ROOT_CONTEXT, span);
        let atMs = call.timeMs;
        for (const [name, key] of STAGES) {
          const endMs = atMs + call[key];
          if (endMs > atMs) tracer.startSpan(name, { startTime: atMs }, itself).end(endMs);
          atMs = endMs;
        }
      }
      span.end(call.timeMs + call.totalMs);
    },
    async close() {
      await provider.shutdown().catch(() => undefined);
    },
  };
}

function below({ traceId, parentId, flags }: TraceParent): Context {
  const span = { traceId, spanId: parentId, traceFlags: flags, isRemote: true };
  return traceApi.setSpanContext(ROOT_CONTEXT, span);
}

/** `faas.trigger` of each source. */
const TRIGGERS: Record<CallSource, string> = { http: 'http', cron: 'timer', queue: 'pubsub' };

/** Names of the semantic conventions for functions as a service, where they have one. */
function describe(span: Span, call: Readonly<CallTrace>): void {
  span.setAttributes({
    'faas.invoked_name': call.functionName,
    'faas.invocation_id': call.callId,
    'faas.trigger': TRIGGERS[call.source],
    'nemo.caller': call.caller,
    'faas.coldstart': call.start !== 'warm',
    'nemo.core': call.core,
    'nemo.sandbox': call.sandboxId,
  });
  if (call.start !== null) span.setAttribute('nemo.start', call.start);
  if (call.cpuMs !== null) span.setAttribute('nemo.cpu_ms', call.cpuMs);
  if (call.memoryBytes !== null) span.setAttribute('nemo.memory_bytes', call.memoryBytes);
  if (call.faults !== null) span.setAttribute('nemo.page_faults', call.faults);
  if (call.error === null) return;
  span.setAttribute('error.type', call.error);
  span.setStatus({ code: SpanStatusCode.ERROR });
}
