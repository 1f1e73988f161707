/**
 * Random numbers in a guest. Many machines go on from one snapshot, so nothing random may be kept in stock: node's
 * caches of random UUIDs and integers are not used, and Math.random draws a seed whenever the machine goes on.
 */

import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';

let [a, b, c, count] = [0, 0, 0, 1];

/** sfc32: 2^128 states, about as fast as V8's own. */
function next(): number {
  const sum = (a + b + count++) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (((c << 21) | (c >>> 11)) + sum) | 0;
  return sum >>> 0;
}

/** Node's own: what functions import under these names is replaced below. */
const { randomUUID } = crypto;
const fill = crypto.randomFillSync as (array: Int32Array | Buffer) => unknown;

/** Also makes OpenSSL draw a new seed, where the clock has jumped. */
export function reseed(): void {
  const seed = new Int32Array(3);
  fill(seed);
  [a, b, c] = [seed[0]!, seed[1]!, seed[2]!];
  count = 1;
}

const INT_BYTES = 6;
const INT_RANGE = 2 ** 48;

type Done = (error: null, value: number) => void;

/** As node's, without its 6 KB of random bytes for later. */
function randomInt(min: number, max?: number | Done, done?: Done): number | undefined {
  if (max === undefined || typeof max === 'function') return randomInt(0, min, max as Done | undefined);
  for (const [name, value] of Object.entries({ min, max }))
    if (!Number.isSafeInteger(value))
      throw codedError(TypeError, 'ERR_INVALID_ARG_TYPE', `"${name}" must be a safe integer`);
  const range = max - min;
  if (range <= 0 || range > INT_RANGE)
    throw codedError(RangeError, 'ERR_OUT_OF_RANGE', `"max - min" must be from 1 to 2^48, not ${range}`);
  const bytes = Buffer.alloc(INT_BYTES);
  let drawn: number;
  do {
    fill(bytes);
    drawn = bytes.readUIntBE(0, INT_BYTES);
  } while (drawn >= INT_RANGE - (INT_RANGE % range));
  const value = min + (drawn % range);
  if (done === undefined) return value;
  process.nextTick(done, null, value);
  return undefined;
}

function codedError(Kind: typeof TypeError | typeof RangeError, code: string, message: string): Error {
  return Object.assign(new Kind(message), { code });
}

/** Before any function is loaded. */
export function keepNoRandomness(): void {
  /** 53 bits, as V8's. */
  Math.random = function random(): number {
    return ((next() >>> 5) * 67_108_864 + (next() >>> 6)) / 9_007_199_254_740_992;
  };
  const uuid = (): ReturnType<typeof randomUUID> => randomUUID({ disableEntropyCache: true });
  Object.assign(crypto, { randomInt, randomUUID: uuid });
  Object.getPrototypeOf(globalThis.crypto).randomUUID = uuid;
  syncBuiltinESMExports();
}
