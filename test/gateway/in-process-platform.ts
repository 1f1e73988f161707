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
import { NemoError } from '../../src/model/errors.js';
import type { FeedFrame } from '../../src/model/feed.js';
import type { CallRequest, CallTimeline, Sink } from '../../src/model/function.js';
import { splitFunctionText } from '../../src/model/function-ref.js';
import type { Platform } from '../../src/model/platform.js';
import { ImageUploads } from '../../src/provision/image-uploads.js';
import { createRegistry, type PrepareFunction, type StoredRegistry } from '../../src/provision/registry.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import { createEventLog } from '../../src/telemetry/event-log.js';
import { createLogBook } from '../../src/telemetry/log-book.js';
import { CallTraces } from '../../src/telemetry/traces/call-traces.js';
import { asItCame } from '../support/sources.js';
import { sampleFrame } from '../telemetry/sample-frame.js';

export type Handler = (call: CallRequest, sink: Sink, timeline: CallTimeline) => void;

export interface TestBox {
  platform: Platform & { registry: StoredRegistry };
  gateway: Gateway;
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

export async function startBox(options: Partial<GatewayOptions> = {}): Promise<TestBox> {
  const directory = await mkdtemp(join(tmpdir(), `nemo-gateway-${process.pid}-`));
  const store = openEmbeddedStore(join(directory, 'store'));
  const registry = await createRegistry({
    store,
    bundleDir: join(directory, 'bundles'),
    prepare: esbuildPrepare,
  });
  const handlers = new Map<string, Handler>();
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
    invoke(call: CallRequest, sink: Sink) {
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
      handlers.get(call.ref.key)!(call, sink, timeline);
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
    ...options,
  }).catch(async (failure) => {
    await closeState();
    throw failure;
  });
  return {
    platform,
    gateway,
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
