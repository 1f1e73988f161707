import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import type { CallTrace } from '../../../src/model/call-trace.js';
import { createOtlpExporter } from '../../../src/telemetry/traces/otlp.js';

interface OtlpSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: Array<{ key: string; value: Record<string, unknown> }>;
  status: { code?: number };
}

const CALL: CallTrace = {
  callId: 'c-1',
  functionName: 'resize',
  source: 'queue',
  caller: 'orders',
  mode: 'async',
  timeMs: 1_700_000_000_000,
  queuedMs: 2,
  startMs: 0,
  turnMs: 0,
  runMs: 5,
  replyMs: 1,
  totalMs: 8,
  start: 'stem',
  core: 1,
  sandboxId: 'sb-1',
  error: 'FUNCTION_ERROR',
  cpuMs: 4.5,
  memoryBytes: 1e6,
  faults: 12,
  traceparent: `00-${'ab'.repeat(16)}-${'cd'.repeat(8)}-01`,
};
const PARENT = { text: CALL.traceparent, traceId: 'ab'.repeat(16), parentId: 'cd'.repeat(8), flags: 1 };

describe('the OpenTelemetry exporter', () => {
  it('sends one span a call below its caller, and one below it for each stage that took time', async () => {
    let body = '';
    let key: string | string[] | undefined;
    const server = createServer((request, response) => {
      key = request.headers['x-key'];
      request.on('data', (text) => (body += text)).on('end', () => response.end('{}'));
    }).listen(0, '127.0.0.1');
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    const url = `http://127.0.0.1:${port}/v1/traces`;
    const exporter = createOtlpExporter({ url, sampleRatio: 0, headers: { 'x-key': 'k' } });
    exporter.export(CALL, PARENT);
    // Not sampled by its caller, nor by the ratio.
    exporter.export({ ...CALL, callId: 'c-2', traceparent: '' }, undefined);
    await exporter.close();
    server.close();

    expect(key).to.equal('k');
    const { resourceSpans } = JSON.parse(body) as {
      resourceSpans: Array<{ scopeSpans: Array<{ spans: OtlpSpan[] }> }>;
    };
    const spans = resourceSpans.flatMap(({ scopeSpans }) => scopeSpans.flatMap((scope) => scope.spans));
    const root = spans.find(({ name }) => name === 'invoke resize')!;
    expect(root).to.include({ traceId: 'ab'.repeat(16), parentSpanId: 'cd'.repeat(8) });
    expect(root.status.code).to.equal(2);
    // CONSUMER: nobody waited.
    expect(root.kind).to.equal(5);
    expect(root.attributes).to.deep.include({ key: 'faas.trigger', value: { stringValue: 'pubsub' } });
    expect(BigInt(root.endTimeUnixNano) - BigInt(root.startTimeUnixNano)).to.equal(8_000_000n);
    expect(root.attributes).to.deep.include({
      key: 'faas.invocation_id',
      value: { stringValue: 'c-1' },
    });
    const stages = spans.filter((span) => span !== root);
    expect(stages.map(({ name }) => name)).to.have.members(['queued', 'run', 'reply']);
    for (const stage of stages) expect(stage.parentSpanId).to.equal(root.spanId);
  });

  it('loses spans, and nothing else, when no collector answers', async () => {
    const exporter = createOtlpExporter({ url: 'http://127.0.0.1:1/v1/traces', sampleRatio: 1 });
    for (let i = 0; i < 5_000; i++)
      exporter.export({ ...CALL, callId: `c-${i}`, traceparent: '' }, undefined);
    expect(await exporter.close()).to.equal(undefined);
  });
});
