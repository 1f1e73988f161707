/**
 * The store in a Redis server, one hash a table. How durable a `put` is, the server decides (`appendfsync
 * always` survives a power cut): a server without an append-only file loses everything when it ends, and the
 * box says so. A server that is away makes calls fail within seconds, never hang. Others may write there too: a value is
 * measured in Redis before it comes.
 */

import { Redis } from 'ioredis';
import { NemoError } from '../errors.js';
import { maskUrl } from '../mask-url.js';
import { isWithin } from '../streams/json.js';
import { STORE } from '../tunables.js';
import { redisAdvice } from './redis-advice.js';
import { RECONNECTING } from './redis-connection.js';
import type { Store } from './store.js';

const PREFIX = 'nemo:';

/** A value, unless it is longer than it may be. */
const GET = `
if redis.call('HSTRLEN', KEYS[1], ARGV[1]) > tonumber(ARGV[2]) then return redis.error_reply('the value is too large') end
return redis.call('HGET', KEYS[1], ARGV[1])
`;

/** Some names of a table, each with the length of its value. Of a name that is too long, the start, and no value. */
const SCAN = `
local nameMax = tonumber(ARGV[3])
local found = redis.call('HSCAN', KEYS[1], ARGV[1], 'COUNT', ARGV[2])
local names = {}
for i = 1, #found[2], 2 do
  local name, length = found[2][i], #found[2][i + 1]
  if #name > nameMax then name, length = string.sub(name, 1, nameMax), -1 end
  names[#names + 1] = name
  names[#names + 1] = length
end
return {found[1], names}
`;
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
        const text = await read(client, table, key);
        return text === null ? undefined : (JSON.parse(text) as T);
      }),
    put: (table, key, value) =>
      attempt(`write ${table}/${key}`, async () => {
        const text = JSON.stringify(value);
        if (Buffer.byteLength(text) > STORE.valueMaxBytes) throw new Error('the value is too large');
        await client.hset(PREFIX + table, key, text);
      }),
    delete: (table, key) =>
      attempt(`delete ${table}/${key}`, async () => (await client.hdel(PREFIX + table, key)) === 1),
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
      if (client.status === 'ready') await client.quit().catch(() => undefined);
      client.disconnect();
    },
  };
}

function read(client: Redis, table: string, key: string): Promise<string | null> {
  return client.call('EVAL', GET, 1, PREFIX + table, key, STORE.valueMaxBytes) as Promise<string | null>;
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
    const [next, found] = (await client.call(
      ...(['EVAL', SCAN, 1, PREFIX + table, cursor, STORE.scanCount, STORE.nameMaxBytes] as const),
    )) as [string, Array<string | number>];
    for (let i = 0; i < found.length; i += 2) names.set(String(found[i]), Number(found[i + 1]));
    cursor = next;
  } while (cursor !== '0' && names.size < STORE.listMax);
  return names;
}

/** One text that is no JSON of ours is one value lost, not the whole table. */
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
