/**
 * What has to be done at once in Redis. KEYS[1] is a table (a hash); who watches it is told on the channel of its name with
 * `:changed` behind. A user whom Redis lets write, but not publish, still writes.
 */

/** A value, unless it is longer than it may be. ARGV: key, most bytes. */
export const GET = `
if redis.call('HSTRLEN', KEYS[1], ARGV[1]) > tonumber(ARGV[2]) then return redis.error_reply('the value is too large') end
return redis.call('HGET', KEYS[1], ARGV[1])
`;

const PUBLISH = `redis.pcall('PUBLISH', KEYS[1] .. ':changed', ARGV[1])`;

/** ARGV: key, value. */
export const PUT = `
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
${PUBLISH}
`;

/** ARGV: key. */
export const DELETE = `
local had = redis.call('HDEL', KEYS[1], ARGV[1])
if had == 1 then ${PUBLISH} end
return had
`;

/** ARGV: key, value before, value after; an empty text, which no JSON is, stands for none. */
export const COMPARE_AND_SET = `
if (redis.call('HGET', KEYS[1], ARGV[1]) or '') ~= ARGV[2] then return 0 end
if ARGV[3] == '' then redis.call('HDEL', KEYS[1], ARGV[1]) else redis.call('HSET', KEYS[1], ARGV[1], ARGV[3]) end
${PUBLISH}
return 1
`;

/** Some names of a table, each with the length of its value. Of a name that is too long, the start, and no value. */
export const SCAN = `
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

/**
 * KEYS: the lease, tokens of all. ARGV: its name, milliseconds, the longest that anybody takes one for. The token, which is
 * its value, unless somebody has it. A lease without an end, and tokens that cannot grow, are not of any box.
 */
export const TAKE_LEASE = `
local left = redis.call('PTTL', KEYS[1])
if left >= 0 and left <= tonumber(ARGV[3]) then return false end
local token = redis.pcall('HINCRBY', KEYS[2], ARGV[1], 1)
if type(token) ~= 'number' or token > 2 ^ 52 then
  redis.call('DEL', KEYS[2])
  token = redis.call('HINCRBY', KEYS[2], ARGV[1], 1)
end
redis.call('SET', KEYS[1], token, 'PX', ARGV[2])
return token
`;

/** KEYS: the lease. ARGV: token, milliseconds; 0 gives it back. */
export const RENEW_LEASE = `
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
if ARGV[2] == '0' then redis.call('DEL', KEYS[1]) else redis.call('PEXPIRE', KEYS[1], ARGV[2]) end
return 1
`;
