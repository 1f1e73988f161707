/**
 * The store in a Redis server, one hash a table. How durable a `put` is, the server decides (`appendfsync
 * always` survives a power cut): a server without an append-only file loses everything when it ends, and the
 * box says so. A server that is away makes calls fail within seconds, never hang. Others may write there too: a value is
 * measured in Redis before it comes.
 */

import { Redis } from 'ioredis';
import { NemoError } from '../model/errors.js';
import { maskUrl } from '../model/mask-url.js';
import { isWithin } from '../streams/json.js';
import { LEASE, STORE } from '../tunables/index.js';
import { redisAdvice } from './redis-advice.js';
import { RECONNECTING } from './redis-connection.js';
import { COMPARE_AND_SET, DELETE, GET, PUT, RENEW_LEASE, SCAN, TAKE_LEASE } from './redis-scripts.js';
import { watchRedis } from './redis-watch.js';
import type { Lease, Store } from './store.js';

const PREFIX = 'nemo:';

const CONNECT_TIMEOUT_MS = 3_000;
const COMMAND_TIMEOUT_MS = 5_000;

export interface RedisStore extends Store {
  /** Messages for the operator: for example that the server keeps nothing on disk. */
  readonly warnings: readonly string[];
}

/** `url`: redis://[:password@]host:port[/db]. STORE if no server answers. The password is never shown. */
export async function openRedisStore(url: string): Promise<RedisStore> {
  const shown = maskUrl(url);
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    maxRetriesPerRequest: 1,
    retryStrategy: (attempts: number) => Math.min(100 * attempts, 2_000),
    ...RECONNECTING,
  });
  // Without a listener a lost connection would end the process; calls report it themselves.
  let lastError = '';
  client.on('error', (error: Error) => {
    lastError = error.message || String((error as NodeJS.ErrnoException).code ?? error);
  });
  const failure = (what: string, cause: unknown): NemoError => {
    const why =
      cause instanceof Error && cause.message !== 'Connection is closed.' ? cause.message : lastError;
    return new NemoError(
      'STORE',
      `cannot ${what} at ${shown}: ${(why || String(cause)).replaceAll(url, shown)}`,
      {
        hint: redisAdvice(why) ?? 'check that a Redis server listens there and that the password is right',
        cause,
      },
    );
  };
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (cause) {
      throw failure(what, cause);
    }
  };
  try {
    await client.connect();
    await client.ping();
  } catch (cause) {
    client.disconnect();
    throw failure('reach the store', cause);
  }
  const watching = watchRedis(client, PREFIX);
  const leaseOf = (name: string, token: number, forMs: number): Lease => {
    const during = (ms: number) =>
      attempt(`renew the lease ${name}`, async () => {
        return (await run(client, RENEW_LEASE, [`${PREFIX}lease:${name}`], token, ms)) === 1;
      });
    return { token, renew: () => during(forMs), release: async () => void (await during(0)) };
  };
  return {
    shared: true,
    warnings: await durabilityWarnings(client, shown),
    get: <T>(table: string, key: string) =>
      attempt(`read ${table}/${key}`, async () => {
        // A value that is too large was not written by NEMO either.
        const text = await read(client, table, key).catch((thrown) => unlessTooLarge(thrown) ?? '');
        return text === null ? undefined : ((parsed(text) ?? null) as T);
      }),
    put: (table, key, value) =>
      attempt(`write ${table}/${key}`, async () => {
        await run(client, PUT, [PREFIX + table], key, textOf(value));
      }),
    delete: (table, key) =>
      attempt(`delete ${table}/${key}`, async () => (await run(client, DELETE, [PREFIX + table], key)) === 1),
    compareAndSet: (table, key, before, next) =>
      attempt(`write ${table}/${key}`, async () => {
        const [was, is] = [before, next].map((value) => (value === undefined ? '' : textOf(value)));
        const replace = async (text: string) =>
          (await run(client, COMPARE_AND_SET, [PREFIX + table], key, text, is!)) === 1;
        if (await replace(was!)) return true;
        // Others write the same value with blanks, or its names in another way.
        const text = await read(client, table, key);
        if (text === null || text === was || JSON.stringify(parsed(text)) !== was) return false;
        return replace(text);
      }),
    watch: (table, onChange) => attempt(`watch ${table}`, () => watching.watch(table, onChange)),
    lease: (name, forMs) =>
      attempt(`take the lease ${name}`, async () => {
        const keys = [`${PREFIX}lease:${name}`, `${PREFIX}lease-tokens`];
        const token = (await run(client, TAKE_LEASE, keys, name, forMs, LEASE.longestMs)) as number | null;
        return token === null ? undefined : leaseOf(name, token, forMs);
      }),
    list: <T>(table: string) =>
      attempt(`list ${table}`, async () => {
        const names = [...(await scan(client, table))];
        names.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        let roomBytes: number = STORE.listMaxBytes;
        const pairs: Array<{ key: string; value: T }> = [];
        for (const [key, bytes] of names) {
          const taken = bytes >= 0 && bytes <= Math.min(STORE.valueMaxBytes, roomBytes);
          if (taken) roomBytes -= bytes;
          const text = taken ? await read(client, table, key).catch(unlessTooLarge) : null;
          pairs.push({ key, value: parsed(text ?? '') as T });
        }
        return pairs;
      }),
    close: async () => {
      watching.close();
      if (client.status === 'ready') await client.quit().catch(() => undefined);
      client.disconnect();
    },
  };
}

function read(client: Redis, table: string, key: string): Promise<string | null> {
  return run(client, GET, [PREFIX + table], key, STORE.valueMaxBytes) as Promise<string | null>;
}

function run(
  client: Redis,
  script: string,
  keys: readonly string[],
  ...values: ReadonlyArray<string | number>
): Promise<unknown> {
  return client.call(...(['EVAL', script, keys.length, ...keys, ...values] as const));
}

function textOf(value: unknown): string {
  const text = JSON.stringify(value);
  if (Buffer.byteLength(text) > STORE.valueMaxBytes) throw new Error('the value is too large');
  return text;
}

/** It may have grown since it was measured. */
function unlessTooLarge(thrown: unknown): null {
  if (String(thrown).includes('too large')) return null;
  throw thrown;
}

/** Names and the lengths of their values; -1 for one that is too long to be a name. A scan may tell one twice. */
async function scan(client: Redis, table: string): Promise<Map<string, number>> {
  const names = new Map<string, number>();
  let cursor = '0';
  do {
    const limits = [STORE.scanCount, STORE.nameMaxBytes];
    const reply = await run(client, SCAN, [PREFIX + table], cursor, ...limits);
    const [next, found] = reply as [string, Array<string | number>];
    for (let i = 0; i < found.length; i += 2) names.set(String(found[i]), Number(found[i + 1]));
    cursor = next;
  } while (cursor !== '0' && names.size < STORE.listMax);
  return names;
}

/** A text that is not JSON of ours loses one value, not the whole table. */
function parsed(text: string): unknown {
  try {
    return isWithin(text, STORE.json) ? JSON.parse(text) : undefined;
  } catch {
    return undefined;
  }
}

async function durabilityWarnings(client: Redis, shown: string): Promise<string[]> {
  // A hosted Redis may forbid CONFIG: then nothing is known, and nothing is claimed.
  const reply = await client.config('GET', 'appendonly').catch(() => undefined);
  if (!Array.isArray(reply) || reply[1] !== 'no') return [];
  return [
    `the Redis server at ${shown} keeps no append-only file: functions are lost when it ends unexpectedly`,
  ];
}
