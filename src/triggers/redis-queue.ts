/**
 * A queue in a Redis stream. A consumer group holds every entry until its call has ended well: what an agent left is called
 * again when it comes back, or by another box when the function's own time limit is long over. One that failed too often
 * goes to `<stream>:dead`.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { Redis } from 'ioredis';
import { NemoError } from '../model/errors.js';
import { maskUrl, maskUrls } from '../model/mask-url.js';
import { redisAdvice } from '../store/redis-advice.js';
import { RECONNECTING } from '../store/redis-connection.js';
import { QUEUE } from '../tunables/index.js';
import { endEntry } from './end-entry.js';
import type { Queue, QueueEntry, TakeLimits } from './queue.js';
import { callOf, roomOf } from './stream-entry.js';
import { takeEntries } from './take-entries.js';

export interface RedisQueueOptions {
  /** redis://[:password@]host:port[/db] */
  url: string;
  stream: string;
  /** Boxes of one group share the entries. */
  group: string;
  /** The same for an agent that comes back. */
  consumer: string;
  /** Stream that gets `{entry, status, body}` for every entry that was answered. */
  replies: string | undefined;
  onWarning: (message: string) => void;
}

export class RedisQueue implements Queue {
  readonly name: string;
  private readonly reader: Redis;
  private readonly writer: Redis;
  private readonly stopped = new AbortController();
  /** Entries that are being called, with their fields. */
  private readonly taken = new Map<string, Buffer[]>();
  /** Entries of this consumer that failed, or were left by one of its name -> when they are called again. */
  private readonly again = new Map<string, number>();
  private claimAtMs = 0;
  /** Each is reported once per series of failures. */
  private readonly troubled = new Set<'take' | 'end'>();

  constructor(private readonly options: RedisQueueOptions) {
    this.name = options.stream;
    const settings = {
      maxRetriesPerRequest: null,
      retryStrategy: (attempts: number) => Math.min(100 * attempts, QUEUE.retryMaxMs),
      ...RECONNECTING,
    };
    this.reader = new Redis(options.url, settings);
    this.writer = new Redis(options.url, settings);
    for (const client of [this.reader, this.writer]) client.on('error', (error) => this.trouble(error));
  }

  async take(limits: TakeLimits): Promise<{ entries: QueueEntry[]; more: boolean }> {
    try {
      return await this.read(limits);
    } catch (thrown) {
      if (String(thrown).includes('NOGROUP')) await this.makeGroup().catch((error) => this.trouble(error));
      else this.trouble(thrown);
      throw thrown;
    }
  }

  /** A blocking read would bring an entry whatever its size, and a script cannot block. */
  private async read(limits: TakeLimits): Promise<{ entries: QueueEntry[]; more: boolean }> {
    const { stream, group, consumer, onWarning } = this.options;
    const claimed = this.claimIsDue ? await this.claim(limits) : [];
    const ids = claimed.length === 0 ? undefined : claimed;
    const found = await takeEntries(this.reader, { stream, group, consumer, ...limits, ids });
    // They are not called, so they stay pending.
    if (this.stopped.signal.aborted) return { entries: [], more: false };
    this.troubled.delete('take');
    for (const id of claimed.slice(0, found.looked)) this.again.delete(id);
    const { refused } = found;
    if (refused !== undefined)
      onWarning(`entry ${refused.id} of "${stream}" went to "${stream}:dead": ${refused.why}`);
    const entries: QueueEntry[] = [];
    for (const { id, fields } of found.entries) {
      if (fields === undefined || this.taken.has(id)) continue;
      this.taken.set(id, fields);
      entries.push({ id, call: () => callOf(fields), bytes: roomOf(fields) });
    }
    return { entries, more: found.looked > 0 };
  }

  /** First what this agent itself has to call again, then what nobody has finished for longer than a call may take. */
  private async claim({ places, callMaxMs }: TakeLimits): Promise<string[]> {
    const { stream, group, consumer } = this.options;
    const nowMs = performance.now();
    if (this.claimAtMs === 0) await this.findOwn(nowMs);
    const due = [...this.again].filter(([, atMs]) => atMs <= nowMs).map(([id]) => id);
    if (due.length > 0) return due.slice(0, places);
    const owner = [stream, group, consumer, callMaxMs + QUEUE.claimAfterMs] as const;
    const [, left] = (await this.reader.call(
      ...(['XAUTOCLAIM', ...owner, '0-0', 'COUNT', places, 'JUSTID'] as const),
    )) as [string, string[]];
    this.claimAtMs = nowMs + QUEUE.claimPeriodMs;
    const ids = left.filter((id) => !this.taken.has(id));
    // There may be no room for all of them now.
    for (const id of ids) this.again.set(id, nowMs);
    return ids;
  }

  /** What an agent of this name took and did not finish before it ended. */
  private async findOwn(nowMs: number): Promise<void> {
    const { stream, group, consumer } = this.options;
    const own = (await this.reader.xpending(
      ...([stream, group, '-', '+', QUEUE.ownMax, consumer] as const),
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

  /** Tries until Redis takes it: the function has done its work, and Redis has no room or no time for the answer. */
  async done(entry: QueueEntry, status: number, answer: Buffer): Promise<void> {
    const { stream, group, replies } = this.options;
    for (let again = true; again; again = !this.stopped.signal.aborted) {
      try {
        const transaction = this.writer.multi();
        if (replies !== undefined) {
          transaction.xadd(replies, '*', 'entry', entry.id, 'status', String(status), 'body', answer);
        }
        const results = await transaction.xack(stream, group, entry.id).exec();
        if (results === null) throw new NemoError('STORE', 'a transaction was not executed');
        this.troubled.delete('end');
        // The other commands of the transaction were done, and the one that failed would fail again.
        const [failed] = results.flatMap(([error]) => error ?? []);
        if (failed !== undefined)
          await this.putAside(entry, `the answer cannot be added to "${replies}": ${failed.message}`);
        break;
      } catch (thrown) {
        this.trouble(thrown, 'end');
        await this.pause();
      }
    }
    this.dropped(entry);
  }

  /** A failed entry stays pending, to be claimed again later, until it has had its chances. */
  async failed(entry: QueueEntry, why: string): Promise<void> {
    const { stream, group } = this.options;
    const { id } = entry;
    try {
      const [pending] = (await this.writer.xpending(stream, group, id, id, 1)) as Array<
        [string, string, number, number]
      >;
      const deliveries = pending?.[3] ?? 0;
      if (deliveries >= QUEUE.deliveriesMax)
        await this.putAside(entry, why, `failed ${deliveries} times and `);
      else if (deliveries > 0) this.again.set(id, performance.now() + QUEUE.againAfterMs * deliveries);
    } catch (thrown) {
      this.trouble(thrown, 'end');
      this.again.set(id, performance.now() + QUEUE.againAfterMs);
    }
    this.dropped(entry);
  }

  dropped({ id }: QueueEntry): void {
    this.taken.delete(id);
  }

  private async putAside({ id }: QueueEntry, why: string, before = ''): Promise<void> {
    const { stream, group, onWarning } = this.options;
    const ofDead = [...(this.taken.get(id) ?? []), 'nemo-entry', id, 'nemo-error', why];
    await endEntry(this.writer, { stream, group, id }, `${stream}:dead`, ofDead);
    onWarning(`entry ${id} of "${stream}" ${before}went to "${stream}:dead": ${why}`);
  }

  private async makeGroup(): Promise<void> {
    try {
      await this.writer.xgroup('CREATE', this.options.stream, this.options.group, '0', 'MKSTREAM');
    } catch (thrown) {
      // Another box was faster.
      if (!String(thrown).includes('BUSYGROUP')) throw thrown;
    }
  }

  stop(): void {
    this.stopped.abort();
    this.reader.disconnect();
  }

  close(): void {
    this.writer.disconnect();
  }

  private pause(): Promise<void> {
    return delay(QUEUE.pauseMs, undefined, { signal: this.stopped.signal }).catch(() => undefined);
  }

  /** `when`: as entries are taken, or when a call has ended. */
  private trouble(thrown: unknown, when: 'take' | 'end' = 'take'): void {
    if (this.troubled.has(when) || this.stopped.signal.aborted) return;
    this.troubled.add(when);
    // Of a transaction: why it was discarded.
    const [first = thrown] = (thrown as { previousErrors?: unknown[] }).previousErrors ?? [];
    const why = (first as Error).message || String((first as NodeJS.ErrnoException).code ?? first);
    const what = when === 'take' ? 'cannot be read' : 'does not take that calls have ended';
    const wayOut = redisAdvice(why);
    const advice = wayOut === undefined ? '' : ` (${wayOut})`;
    const { stream, url, onWarning } = this.options;
    onWarning(`the queue "${stream}" at ${maskUrl(url)} ${what}: ${maskUrls(why)}${advice}`);
  }
}
