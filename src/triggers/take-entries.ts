/**
 * Takes entries of a Redis stream that are no larger than they may be. Whoever may add to a stream decides how long an
 * entry is, so it is measured in Redis, in the same script that takes it: of one that is too large, the dead stream
 * gets the id and the reason, and no byte of it comes here.
 */

import type { Redis } from 'ioredis';
import { QUEUE } from '../tunables/index.js';
import { type Entry, entriesOf } from './stream-entry.js';

export interface TakeOptions {
  stream: string;
  group: string;
  consumer: string;
  /** Entries at most. */
  places: number;
  /** Bytes of all of them at most. */
  roomBytes: number;
  /** Pending entries to take again; without it, those that nobody took yet. */
  ids?: readonly string[] | undefined;
}

export interface Taken {
  entries: Entry[];
  /** What went to the dead stream, and why. */
  refused?: { id: string; why: string };
  /** How many of `ids` have been looked at: there may be no room for the others. */
  looked: number;
}

/**
 * One entry at a time, and none that could be beyond the room: what was read is taken. It ends at one that is too
 * large, so that Redis never holds two of them in the script's memory. An id without an entry was deleted meanwhile.
 */
const SCRIPT = `
local stream, dead, group, consumer = KEYS[1], KEYS[2], ARGV[1], ARGV[2]
local places, room, bytesMax, fieldsMax = tonumber(ARGV[3]), tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local fieldBytes = tonumber(ARGV[7])
local claims = ARGV[8] ~= nil
local entries, looked = {}, 0
while looked < places and room >= bytesMax do
  local id, found = ARGV[8 + looked], nil
  if claims then
    if not id then break end
    found = redis.call('XCLAIM', stream, group, consumer, 0, id)[1]
  else
    local read = redis.call('XREADGROUP', 'GROUP', group, consumer, 'COUNT', 1, 'STREAMS', stream, '>')
    found = read and read[1][2][1]
    if not found then break end
    id = found[1]
  end
  looked = looked + 1
  if found and found[2] then
    local bytes, fields = 0, #found[2]
    for _, field in ipairs(found[2]) do bytes = bytes + #field end
    if bytes > bytesMax or fields > 2 * fieldsMax then
      local why = 'BODY_TOO_LARGE: an entry of ' .. bytes .. ' bytes in ' .. fields / 2 ..
        ' fields, at most ' .. bytesMax .. ' and ' .. fieldsMax .. ' are taken'
      redis.call('XADD', dead, '*', 'nemo-entry', id, 'nemo-error', why)
      redis.call('XACK', stream, group, id)
      return {entries, looked, id, why}
    end
    room = room - bytes - fieldBytes * fields
    entries[#entries + 1] = found
  else
    redis.call('XACK', stream, group, id)
  end
end
return {entries, looked}
`;

export async function takeEntries(redis: Redis, options: TakeOptions): Promise<Taken> {
  const { stream, group, consumer, places, roomBytes, ids = [] } = options;
  const keys = [stream, `${stream}:dead`];
  const limits = [places, roomBytes, QUEUE.entryMaxBytes, QUEUE.entryFieldsMax, QUEUE.fieldBytes];
  // Nothing at all is no entry.
  const [entries, looked, id, why] = ((await redis.callBuffer(
    ...(['EVAL', SCRIPT, keys.length, ...keys, group, consumer, ...limits, ...ids] as const),
  )) ?? [[], 0]) as [unknown, number, Buffer?, Buffer?];
  return {
    entries: entriesOf(entries),
    looked,
    ...(id === undefined || why === undefined ? {} : { refused: { id: id.toString(), why: why.toString() } }),
  };
}
