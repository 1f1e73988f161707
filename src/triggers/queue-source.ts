/** Calls a function with the entries of a queue: as many at the same time as it may, and as fast as they are answered. */

import { setTimeout as delay } from 'node:timers/promises';
import { callFunction } from '../dispatch/call-function.js';
import type { Principal } from '../model/call.js';
import { asNemoError, type NemoError } from '../model/errors.js';
import type { FunctionRef } from '../model/function-ref.js';
import type { Platform } from '../model/platform.js';
import { QUEUE } from '../tunables/index.js';
import type { Queue, QueueEntry } from './queue.js';
import type { Source } from './source.js';

export interface QueueSourceOptions {
  queue: Queue;
  functionKey: string;
  /** Calls at the same time. */
  parallel: number;
  platform: Platform;
}

export class QueueSource implements Source {
  private readonly running = new Set<Promise<void>>();
  /** Of the entries that are being called. */
  private runningBytes = 0;
  private pollMs: number = QUEUE.pollMinMs;
  private readonly stop = new AbortController();
  private readonly principal: Principal;

  constructor(private readonly options: QueueSourceOptions) {
    this.principal = { source: 'queue', name: options.queue.name };
    void this.run();
  }

  async close(): Promise<void> {
    const { queue } = this.options;
    this.stop.abort();
    queue.stop();
    await Promise.race([Promise.all(this.running), delay(QUEUE.closeMaxMs, undefined, { ref: false })]);
    queue.close();
  }

  private async run(): Promise<void> {
    while (!this.stop.signal.aborted) await this.turn().catch(() => this.pause());
  }

  /** Takes as many entries as there are places, and waits where there is no place or no function. */
  private async turn(): Promise<void> {
    const { queue, functionKey, parallel, platform } = this.options;
    const spec = platform.registry.get(functionKey);
    if (spec === undefined) return this.pause();
    const places = parallel - this.running.size;
    const roomBytes = QUEUE.inFlightMaxBytes - this.runningBytes;
    if (places <= 0 || roomBytes < QUEUE.entryMaxBytes) {
      await Promise.race(this.running);
      return;
    }
    const { entries, more } = await queue.take({ places, roomBytes, callMaxMs: spec.timeoutMs });
    for (const entry of entries) {
      if (this.stop.signal.aborted) queue.dropped(entry);
      else this.start(spec.ref, entry);
    }
    if (more) this.pollMs = QUEUE.pollMinMs;
    else await this.poll();
  }

  private async poll(): Promise<void> {
    await this.pause(this.pollMs);
    this.pollMs = Math.min(2 * this.pollMs, QUEUE.pollMaxMs);
  }

  private start(ref: FunctionRef, entry: QueueEntry): void {
    this.runningBytes += entry.bytes;
    const ended = this.call(ref, entry).finally(() => {
      this.running.delete(ended);
      this.runningBytes -= entry.bytes;
    });
    this.running.add(ended);
  }

  private async call(ref: FunctionRef, entry: QueueEntry): Promise<void> {
    const { queue, platform } = this.options;
    const { principal } = this;
    const { id } = entry;
    const callId = `queue-${queue.name}-${id}`;
    const mode = 'async';
    try {
      const { body, headers } = readCall(entry, (error) =>
        platform.refused(ref.key, { callId, principal, mode }, error),
      );
      const answered = await callFunction(platform, {
        ...{ callId, ref, principal, mode },
        method: 'POST',
        path: '/',
        query: '',
        headers: { ...headers, 'x-nemo-trigger': 'queue', 'x-nemo-entry': id },
        body,
        deadlineMs: Number.POSITIVE_INFINITY,
        traceparent: undefined,
      });
      await queue.done(entry, answered.status, answered.body);
    } catch (thrown) {
      const error = asNemoError(thrown);
      if (error.code === 'STOPPING') queue.dropped(entry);
      else await queue.failed(entry, `${error.code}: ${error.message}`);
    }
  }

  private pause(ms: number = QUEUE.pauseMs): Promise<void> {
    return delay(ms, undefined, { signal: this.stop.signal }).catch(() => undefined);
  }
}

/** `onRefused` hears why an entry is no call. */
function readCall(entry: QueueEntry, onRefused: (error: NemoError) => void): ReturnType<QueueEntry['call']> {
  try {
    return entry.call();
  } catch (thrown) {
    const error = asNemoError(thrown);
    onRefused(error);
    throw error;
  }
}
