/**
 * The store in a Redis server, one hash a table. How durable a `put` is, the server decides (`appendfsync
 * always` survives a power cut): a server without an append-only file loses everything when it ends, and the
 * box says so. A server that is away makes calls fail within seconds, never hang.
 */

import { Redis } from 'ioredis';
import { NemoError } from '../errors.js';
import { maskUrl } from '../mask-url.js';
import { redisAdvice } from './redis-advice.js';
import { RECONNECTING } from './redis-connection.js';
import type { Store } from './store.js';

const PREFIX = 'nemo:';
const CONNECT_TIMEOUT_MS = 3_000;
const COMMAND_TIMEOUT_MS = 5_000;

export interface RedisStore extends Store {
  /** What an operator should know, in words: for example that the server keeps nothing on disk. */
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
  return {
    warnings: await durabilityWarnings(client, shown),
    get: <T>(table: string, key: string) =>
      attempt(`read ${table}/${key}`, async () => {
        const text = await client.hget(PREFIX + table, key);
        return text === null ? undefined : (JSON.parse(text) as T);
      }),
    put: (table, key, value) =>
      attempt(`write ${table}/${key}`, async () => {
        await client.hset(PREFIX + table, key, JSON.stringify(value));
      }),
    delete: (table, key) =>
      attempt(`delete ${table}/${key}`, async () => (await client.hdel(PREFIX + table, key)) === 1),
    list: <T>(table: string) =>
      attempt(`list ${table}`, async () => {
        const pairs = Object.entries(await client.hgetall(PREFIX + table));
        pairs.sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
        return pairs.map(([key, text]) => ({ key, value: parsed(text as string) as T }));
      }),
    close: async () => {
      if (client.status === 'ready') await client.quit().catch(() => undefined);
      client.disconnect();
    },
  };
}

/** Others may write there too: one text that is no JSON is one value lost, not the whole table. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
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
