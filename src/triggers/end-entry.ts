/**
 * Adds the answer to an entry to another stream, and only then takes the entry from the group. A script, because a
 * transaction goes on after a command that fails: the entry would be gone although its answer could not be added.
 */

import type { Redis } from 'ioredis';

const SCRIPT = `
redis.call('XADD', KEYS[2], '*', unpack(ARGV, 3))
redis.call('XACK', KEYS[1], ARGV[1], ARGV[2])
`;

export interface EntryId {
  stream: string;
  group: string;
  id: string;
}

/** `fields`: name, value, name, value ... */
export async function endEntry(
  redis: Redis,
  { stream, group, id }: EntryId,
  to: string,
  fields: ReadonlyArray<string | Buffer>,
): Promise<void> {
  await redis.call(...(['EVAL', SCRIPT, 2, stream, to, group, id, ...fields] as const));
}
