/**
 * A whole Platform in one process for tests of the gateway: real registry, store, logs and events; calls run a
 * handler of the test right here, where the agent would run a sandbox.
 */

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { transform } from 'esbuild';
import { createGateway, type Gateway, type GatewayOptions } from '../../src/gateway/server.js';
import { StorageQuota } from '../../src/host/storage-quota.js';
import type { Call, CallHead, CallTimeline, StartKind } from '../../src/model/call.js';
import { NemoError } from '../../src/model/errors.js';
import type { FeedFrame } from '../../src/model/feed.js';
import { splitFunctionText } from '../../src/model/function-ref.js';
import type { Platform } from '../../src/model/platform.js';
import type { GiveBack, ReplySink } from '../../src/model/reply-sink.js';
import { acceptedCall } from '../../src/pool/calls.js';
import type { Instance } from '../../src/pool/instance.js';
import { ImageUploads } from '../../src/provision/image-uploads.js';
import { createRegistry, type PrepareFunction, type StoredRegistry } from '../../src/provision/registry.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import { CallCounts } from '../../src/telemetry/call-counts.js';
import { createEventLog } from '../../src/telemetry/event-log.js';
import { createLogBook } from '../../src/telemetry/log-book.js';
import { CallTraces } from '../../src/telemetry/traces/call-traces.js';
import { asItCame } from '../support/sources.js';
import { sampleFrame } from '../telemetry/sample-frame.js';

export type Handler = (call: Call, sink: ReplySink, timeline: CallTimeline) => void;

export interface TestBox {
  platform: Platform & { registry: StoredRegistry };
  gateway: Gateway;
  /** What is counted of calls, as where there is a dispatcher. */
  calls: CallCounts;
  /** Deploys a function whose calls go to `handler`. `text`: its key. */
  serve(text: string, handler: Handler): Promise<void>;
  /** Makes the next frame of the feed. */
  nextFrame(change?: Partial<FeedFrame>): FeedFrame;
  close(): Promise<void>;
}

export const esbuildPrepare: PrepareFunction = async (_engine, { source }) => {
  if (source.kind !== 'module') return asItCame(_engine, { functionName: '', source });
  const { content, filename } = source;
  try {
    const { code } = await transform(content.toString(), {
      loader: 'ts',
      sourcefile: filename,
      logLevel: 'silent',
    });
    return Buffer.from(code);
  } catch (cause) {
    const { errors } = cause as {
      errors: Array<{ text: string; location: { line: number; column: number } }>;
    };
    const { text, location } = errors[0]!;
    throw new NemoError('BAD_FUNCTION', `${filename}:${location.line}:${location.column}: ${text}`, {
      cause,
    });
  }
};

export const echo: Handler = (call, sink, timeline) => {
  sink.onHead(200, { 'content-type': call.headers['content-type'] ?? 'application/octet-stream' });
  sink.onChunk(call.body);
  sink.onEnd({ ...timeline, endedMs: performance.now() });
};

/** Tells of the end of a call, as the dispatcher does. */
class ObservedSink implements ReplySink {
  private readonly accepted;

  constructor(
    private readonly call: Call,
    private readonly sink: ReplySink,
    private readonly calls: CallCounts,
  ) {
    this.accepted = acceptedCall(call, sink, performance.now());
  }

  onHead(status: number, headers: Record<string, string>, start?: StartKind): void {
    this.sink.onHead(status, headers, start);
  }
  onChunk(chunk: Buffer, sent?: GiveBack): void {
    this.sink.onChunk(chunk, sent);
  }
  get gone(): boolean {
    return this.sink.gone === true;
  }
  get backlogBytes(): number {
    return this.sink.backlogBytes ?? 0;
  }
  whenDrained(resume: () => void): void {
    this.sink.whenDrained?.(resume);
  }
  whenLeft(left: () => void): void {
    this.sink.whenLeft?.(left);
  }
  onEnd(timeline: CallTimeline): void {
    this.sink.onEnd(timeline);
    const { acceptedMs, endedMs, start } = timeline;
    const ended = { ...this.accepted, acceptedMs, endedMs, start };
    this.calls.ended(this.call.ref.key, ended, {} as Instance, this.sink.failure);
  }
  onError(error: NemoError, timeline: CallTimeline | undefined): void {
    this.sink.onError(error, timeline);
    this.calls.ended(this.call.ref.key, this.accepted, undefined, error);
  }
}

export async function startBox(options: Partial<GatewayOptions> = {}): Promise<TestBox> {
  const directory = await mkdtemp(join(tmpdir(), `nemo-gateway-${process.pid}-`));
  const store = openEmbeddedStore(join(directory, 'store'));
  const registry = await createRegistry({
    store,
    bundleDir: join(directory, 'bundles'),
    prepare: esbuildPrepare,
  });
  const handlers = new Map<string, Handler>();
  const calls = new CallCounts((name) => registry.get(name) !== undefined);
  registry.onChange((name, spec) => {
    if (spec === undefined) calls.forget(name);
  });
  let frame = sampleFrame(1);
  const platform = {
    registry,
    uploads: await ImageUploads.open(new StorageQuota({ stateDir: directory })),
    logs: createLogBook(),
    events: createEventLog(),
    traces: new CallTraces(),
    frame: () => frame,
    engines: async () => [
      { kind: 'process', about: 'a process tree each', ok: true },
      { kind: 'wasm', about: 'modules', ok: false, reason: 'no such thing', hint: 'get one' },
    ],
    refused: (key: string, call: CallHead, error: NemoError) => calls.refused(key, call, error),
    invoke(call: Call, sink: ReplySink) {
      const nowMs = performance.now();
      const timeline: CallTimeline = {
        acceptedMs: nowMs,
        dispatchedMs: nowMs,
        firstByteMs: nowMs,
        endedMs: nowMs,
        start: 'warm',
        firstInSandbox: false,
        core: 1,
        sandboxId: 'sb-1',
      };
      handlers.get(call.ref.key)!(call, new ObservedSink(call, sink, calls), timeline);
    },
  };
  const closeState = async (): Promise<void> => {
    await registry.close();
    await store.close();
    await rm(directory, { recursive: true, force: true });
  };
  const gateway = await createGateway(platform, {
    host: '127.0.0.1',
    port: 0,
    bodyMaxBytes: 6 * 1024 * 1024,
    logLevel: 'silent',
    calls,
    ...options,
  }).catch(async (failure) => {
    await closeState();
    throw failure;
  });
  return {
    platform,
    gateway,
    calls,
    async serve(text, handler) {
      handlers.set(text, handler);
      await registry.deploy({ ...splitFunctionText(text), code: 'export default () => undefined;' });
    },
    nextFrame(change = {}) {
      frame = { ...frame, ...change, seq: frame.seq + 1, timeMs: Date.now() };
      return frame;
    },
    async close() {
      await gateway.close();
      await closeState();
    },
  };
}
