/**
 * Calls a function with the entries of a Redis stream. A consumer group holds every entry until its call has ended
 * well, so an entry is called at least once, whatever dies: what an agent left is called again when it comes back, or
 * by another box when the function's own time limit is long over. One that failed too often goes to `<stream>:dead`.
 */

import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { asNemoError, NemoError } from '../errors.js';
import type { Platform } from '../gateway/platform.js';
import { callFunction } from '../invoke/call-function.js';
import type { FunctionSpec } from '../invoke/function.js';
import { maskUrl, maskUrls } from '../mask-url.js';
import { redisAdvice } from '../store/redis-advice.js';
import { RECONNECTING } from '../store/redis-connection.js';
import { QUEUE } from '../tunables.js';
import type { TriggeredCallEnded } from './cron.js';
import { endEntry } from './end-entry.js';
import type { Source } from './source.js';
import { callOf } from './stream-entry.js';
import { bytesOf, takeEntries } from './take-entries.js';

export interface QueueConfig {
  /** redis://[:password@]host:port[/db] */
  url: string;
  stream: string;
  function: string;
  /** Boxes of one group share the entries. Default `nemo`. */
  group?: string;
  /** Calls at the same time. Default 4. */
  parallel?: number;
  /** Stream that gets `{entry, status, body}` for every entry that was answered. */
  replies?: string;
}

export class RedisStreamSource implements Source {
  private readonly reader: Redis;
  private readonly writer: Redis;
  private readonly group: string;
  private readonly parallel: number;
  private readonly consumer: string;
  private readonly running = new Map<string, Promise<void>>();
  private readonly stop = new AbortController();
  /** Entries of this agent that failed, or were left by one of its name -> when they are called again. */
  private readonly again = new Map<string, number>();
  private claimAtMs = 0;
  /** Of the entries that are being called. */
  private runningBytes = 0;
  private pollMs: number = QUEUE.pollMinMs;
  /** Each said once a stretch of failures. */
  private readonly troubled = new Set<'take' | 'end'>();

  constructor(
    private readonly config: QueueConfig,
    agentName: string,
    private readonly platform: Platform,
    private readonly onCallEnded: TriggeredCallEnded,
  ) {
    this.group = config.group ?? 'nemo';
    this.parallel = config.parallel ?? QUEUE.parallel;
    this.consumer = `${hostname()}-${agentName}`;
    const options = {
      maxRetriesPerRequest: null,
      retryStrategy: (attempts: number) => Math.min(100 * attempts, QUEUE.retryMaxMs),
      ...RECONNECTING,
    };
    this.reader = new Redis(config.url, options);
    this.writer = new Redis(config.url, options);
    for (const client of [this.reader, this.writer]) client.on('error', (error) => this.trouble(error));
    void this.run();
  }

  /** Takes nothing more; resolves when running calls have ended or their outcome no longer matters. */
  async close(): Promise<void> {
    this.stop.abort();
    // Nothing is waited for but calls: a command to a server that is away is never answered.
    this.reader.disconnect();
    await Promise.race([
      Promise.all(this.running.values()),
      delay(QUEUE.closeMaxMs, undefined, { ref: false }),
    ]);
    this.writer.disconnect();
  }

  private async run(): Promise<void> {
    while (!this.stop.signal.aborted) {
      try {
        await this.turn();
      } catch (thrown) {
        if (this.stop.signal.aborted) return;
        if (String(thrown).includes('NOGROUP')) await this.makeGroup().catch((error) => this.trouble(error));
        else this.trouble(thrown);
        await this.pause();
      }
    }
  }

  /** Takes as many entries as there are places, and waits where there is no place or no function. */
  private async turn(): Promise<void> {
    const spec = this.platform.registry.get(this.config.function);
    if (spec === undefined) return this.pause();
    const places = this.parallel - this.running.size;
    const roomBytes = QUEUE.inFlightMaxBytes - this.runningBytes;
    if (places <= 0 || roomBytes < QUEUE.entryMaxBytes) {
      await Promise.race(this.running.values());
      return;
    }
    const ids = this.claimIsDue ? await this.claim(spec, places) : undefined;
    if (ids?.length === 0) return;
    const { stream } = this.config;
    const owner = { stream, group: this.group, consumer: this.consumer };
    const { entries, looked, refused } = await takeEntries(this.reader, { ...owner, places, roomBytes, ids });
    // Not called, they stay pending.
    if (this.stop.signal.aborted) return;
    this.troubled.delete('take');
    for (const id of ids?.slice(0, looked) ?? []) this.again.delete(id);
    if (refused !== undefined)
      this.warn(`entry ${refused.id} of "${stream}" went to "${stream}:dead": ${refused.why}`);
    for (const { id, fields } of entries) {
      if (fields !== undefined && !this.running.has(id)) this.start(spec, id, fields);
    }
    if (looked > 0) this.pollMs = QUEUE.pollMinMs;
    else await this.poll();
  }

  /** A blocking read would bring an entry whatever its size, and a script cannot block. */
  private async poll(): Promise<void> {
    await this.pause(this.pollMs);
    this.pollMs = Math.min(2 * this.pollMs, QUEUE.pollMaxMs);
  }

  /** First what this agent itself has to call again, then what nobody has finished for longer than a call may take. */
  private async claim(spec: FunctionSpec, places: number): Promise<string[]> {
    const { stream } = this.config;
    const nowMs = performance.now();
    if (this.claimAtMs === 0) await this.findOwn(nowMs);
    const due = [...this.again].filter(([, atMs]) => atMs <= nowMs).map(([id]) => id);
    if (due.length > 0) return due.slice(0, places);
    const idleMs = spec.timeoutMs + QUEUE.claimAfterMs;
    const [, left] = (await this.reader.call(
      ...([
        'XAUTOCLAIM',
        stream,
        this.group,
        this.consumer,
        idleMs,
        '0-0',
        'COUNT',
        places,
        'JUSTID',
      ] as const),
    )) as [string, string[]];
    this.claimAtMs = nowMs + QUEUE.claimPeriodMs;
    const ids = left.filter((id) => !this.running.has(id));
    // There may be no room for all of them now.
    for (const id of ids) this.again.set(id, nowMs);
    return ids;
  }

  /** What an agent of this name took and did not finish before it ended. */
  private async findOwn(nowMs: number): Promise<void> {
    const { stream } = this.config;
    const own = (await this.reader.xpending(
      ...([stream, this.group, '-', '+', QUEUE.ownMax, this.consumer] as const),
    )) as Array<[string]>;
    for (const [id] of own) this.again.set(id, nowMs);
    this.claimAtMs = nowMs;
  }

  private get claimIsDue(): boolean {
    const nowMs = performance.now();
    if (nowMs >= this.claimAtMs) return true;
    for (const atMs of this.again.values()) if (atMs <= nowMs) return true;
    return false;
  }

  private start(spec: FunctionSpec, id: string, fields: Buffer[]): void {
    const bytes = bytesOf(fields);
    this.runningBytes += bytes;
    const ended = this.call(spec, id, fields)
      .catch((thrown) => {
        this.trouble(thrown, 'end');
        this.again.set(id, performance.now() + QUEUE.againAfterMs);
      })
      .finally(() => {
        this.running.delete(id);
        this.runningBytes -= bytes;
      });
    this.running.set(id, ended);
  }

  private async call({ name }: FunctionSpec, id: string, fields: Buffer[]): Promise<void> {
    const { stream } = this.config;
    const { body, headers } = callOf(fields);
    let answered: [status: number, answer: Buffer] | undefined;
    try {
      // As JSON, what was short enough may be longer.
      if (body.length > QUEUE.entryMaxBytes) {
        throw new NemoError('BODY_TOO_LARGE', `as JSON, the entry has ${body.length} bytes`, {
          hint: `put it into the field 'body', which may have ${QUEUE.entryMaxBytes} bytes with its name`,
        });
      }
      const {
        status,
        body: answer,
        timeline,
      } = await callFunction(this.platform, {
        callId: `queue-${stream}-${id}`,
        functionName: name,
        method: 'POST',
        path: '/',
        query: '',
        headers: { ...headers, 'x-nemo-trigger': 'queue', 'x-nemo-entry': id },
        body,
      });
      this.onCallEnded(name, undefined, timeline);
      answered = [status, answer];
    } catch (thrown) {
      const error = asNemoError(thrown);
      this.onCallEnded(name, error, undefined);
      if (error.code !== 'STOPPING')
        await this.giveUpIfHopeless(id, fields, `${error.code}: ${error.message}`);
    }
    if (answered !== undefined) await this.acknowledge(id, fields, ...answered);
  }

  /** Until Redis takes it: it is Redis that has no room or no time, and the function has done its work. */
  private async acknowledge(id: string, fields: Buffer[], status: number, answer: Buffer): Promise<void> {
    const { stream, replies } = this.config;
    for (let again = true; again; again = !this.stop.signal.aborted) {
      try {
        const transaction = this.writer.multi();
        if (replies !== undefined) {
          transaction.xadd(replies, '*', 'entry', id, 'status', String(status), 'body', answer);
        }
        const results = await transaction.xack(stream, this.group, id).exec();
        if (results === null) throw new NemoError('STORE', 'a transaction was not executed');
        this.troubled.delete('end');
        // What failed within it keeps nothing else of it from being done, and would fail again.
        const [failed] = results.flatMap(([error]) => error ?? []);
        if (failed !== undefined)
          await this.giveUp(id, fields, `the answer cannot be added to "${replies}": ${failed.message}`);
        return;
      } catch (thrown) {
        this.trouble(thrown, 'end');
        await this.pause();
      }
    }
  }

  /** A failed entry stays pending, to be claimed again later, until it has had its chances. */
  private async giveUpIfHopeless(id: string, fields: Buffer[], why: string): Promise<void> {
    const { stream } = this.config;
    const [pending] = (await this.writer.xpending(stream, this.group, id, id, 1)) as Array<
      [string, string, number, number]
    >;
    if (pending === undefined) return;
    if (pending[3] < QUEUE.deliveriesMax) {
      this.again.set(id, performance.now() + QUEUE.againAfterMs * pending[3]);
      return;
    }
    await this.giveUp(id, fields, why, `failed ${pending[3]} times and `);
  }

  private async giveUp(id: string, fields: Buffer[], why: string, before = ''): Promise<void> {
    const { stream } = this.config;
    const ofDead = [...fields, 'nemo-entry', id, 'nemo-error', why];
    await endEntry(this.writer, { stream, group: this.group, id }, `${stream}:dead`, ofDead);
    this.warn(`entry ${id} of "${stream}" ${before}went to "${stream}:dead": ${why}`);
  }

  private async makeGroup(): Promise<void> {
    try {
      await this.writer.xgroup('CREATE', this.config.stream, this.group, '0', 'MKSTREAM');
    } catch (thrown) {
      // Another box was faster.
      if (!String(thrown).includes('BUSYGROUP')) throw thrown;
    }
  }

  private pause(ms: number = QUEUE.pauseMs): Promise<void> {
    return delay(ms, undefined, { signal: this.stop.signal }).catch(() => undefined);
  }

  /** `when`: as entries are taken, or when a call has ended. */
  private trouble(thrown: unknown, when: 'take' | 'end' = 'take'): void {
    if (this.troubled.has(when) || this.stop.signal.aborted) return;
    this.troubled.add(when);
    // Of a transaction: why it was discarded.
    const [first = thrown] = (thrown as { previousErrors?: unknown[] }).previousErrors ?? [];
    const why = (first as Error).message || String((first as NodeJS.ErrnoException).code ?? first);
    const what = when === 'take' ? 'cannot be read' : 'does not take that calls have ended';
    const wayOut = redisAdvice(why);
    const advice = wayOut === undefined ? '' : ` (${wayOut})`;
    this.warn(
      `the queue "${this.config.stream}" at ${maskUrl(this.config.url)} ${what}: ${maskUrls(why)}${advice}`,
    );
  }

  private warn(message: string): void {
    this.platform.events.emit({
      kind: 'warning',
      severity: 'warning',
      functionName: this.config.function,
      message,
    });
  }
}
