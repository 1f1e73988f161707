/**
 * Generated messages of a peer that means harm: well-formed ones mixed with broken ones, cut at any byte, joined,
 * with bytes changed, and arriving in pieces of any size.
 */

import fc from 'fast-check';
import { FrameType } from '../../../src/runner/frames.js';

/** Numbers where programs go wrong. */
const edgeU32 = fc.constantFrom(0, 1, 2, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff);
const anyU32 = fc.oneof(edgeU32, fc.nat(0xffffffff));

/** JSON values that trouble whoever believes in them. */
export const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 4, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
  fc.constantFrom<unknown>(
    null,
    true,
    -1,
    1e308,
    '__proto__',
    'constructor',
    '\r\nset-cookie: evil=1\r\n\r\n',
    'x\u0000y',
    '\ud800',
    '🦊'.repeat(300),
    { toString: 1, valueOf: 1 },
    { toJSON: 'x' },
    { length: 4_294_967_296 },
    [[[[[[]]]]]],
    'y'.repeat(5_000),
  ),
);

/** Objects with the names that the receiver looks for, and with those that every object has. */
export function hostileObject(names: readonly string[]): fc.Arbitrary<string> {
  const name = fc.oneof(
    { weight: 4, arbitrary: fc.constantFrom(...names) },
    fc.constantFrom('__proto__', 'constructor', 'toString', 'hasOwnProperty', ''),
    fc.string({ maxLength: 20 }),
  );
  const entries = fc.array(fc.tuple(name, hostileValue), { maxLength: 6 });
  // By hand: an object literal would take __proto__ for its prototype.
  return entries.map(
    (list) => `{${list.map(([key, value]) => `${JSON.stringify(key)}:${JSON.stringify(value)}`).join()}}`,
  );
}

const META_NAMES = [
  ...['code', 'name', 'message', 'stack', 'ahead', 'token', 'thread', 'content-length', 'content-type'],
  ...['set-cookie', 'Transfer-Encoding', 'Content-Length', 'x-a', 'X-A', 'connection'],
];
const meta = fc.oneof(
  fc.constantFrom('', '{}', '[]', 'null', '{', '{"x":"\\r\\n"}', '{"a b":"c"}', `${'['.repeat(2_000)}`),
  hostileObject(META_NAMES),
  fc.string({ maxLength: 40 }),
);
const body = fc.oneof(
  fc.constant(Buffer.alloc(0)),
  fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes)),
);

interface Frame {
  type: number;
  kind: number;
  status: number;
  callId: number;
  timeMs: number;
  meta: string;
  body: Buffer;
  /** In place of the true lengths. */
  lies: { body: number; meta: number } | null;
}

const frame: fc.Arbitrary<Frame> = fc.record({
  type: fc.oneof({ weight: 6, arbitrary: fc.constantFrom(...Object.values(FrameType)) }, fc.nat(255)),
  kind: fc.oneof(fc.constantFrom(0, 1, 2, 3), fc.nat(255)),
  status: fc.oneof(fc.constantFrom(0, 99, 100, 200, 204, 304, 599, 600, 65_535), fc.nat(65_535)),
  // Calls count from 1: with these it often hits one that is open.
  callId: fc.oneof({ weight: 4, arbitrary: fc.constantFrom(0, 1, 2, 3) }, anyU32),
  timeMs: anyU32,
  meta,
  body,
  lies: fc.option(fc.record({ body: fc.oneof(fc.nat(200), anyU32), meta: fc.oneof(fc.nat(200), anyU32) }), {
    freq: 12,
  }),
});

export function encodeFrame({ type, kind, status, callId, timeMs, meta, body, lies }: Frame): Buffer {
  const text = Buffer.from(meta);
  const header = Buffer.alloc(20);
  header.writeUInt32LE(lies?.body ?? body.length, 0);
  header.writeUInt32LE(lies?.meta ?? text.length, 4);
  header.writeUInt32LE(callId, 8);
  header[12] = type;
  header[13] = kind;
  header.writeUInt16LE(status, 14);
  header.writeUInt32LE(timeMs, 16);
  return Buffer.concat([header, text, body]);
}

/** Frames that their sender did not break: what a decoder must find again. */
export const wholeFrames: fc.Arbitrary<Buffer> = fc
  .array(
    frame.map((one) => encodeFrame({ ...one, lies: null })),
    { maxLength: 6 },
  )
  .map((list) => Buffer.concat(list));

/** What a stranger's bytes may suffer on the way: changed, cut off, with rubbish between. */
function harmed(bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  const change = fc.tuple(fc.nat(), fc.nat(255));
  return fc
    .tuple(bytes, fc.array(change, { maxLength: 3 }), fc.option(fc.nat(), { freq: 3 }), body)
    .map(([whole, changes, cutAt, rubbish]) => {
      const out = Buffer.from(whole);
      for (const [at, value] of changes) if (out.length > 0) out[at % out.length] = value;
      const kept = cutAt === null ? out : out.subarray(0, cutAt % (out.length + 1));
      return Buffer.concat([kept, rubbish]);
    });
}

export const frameBytes: fc.Arbitrary<Buffer> = fc.oneof(
  {
    weight: 3,
    arbitrary: fc.array(frame.map(encodeFrame), { maxLength: 8 }).map((list) => Buffer.concat(list)),
  },
  harmed(wholeFrames),
  fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
);

/** Lines of JSON with those names, of other things, of nothing, without an end. */
export function lineBytes(names: readonly string[]): fc.Arbitrary<Buffer> {
  const line = fc.oneof(
    { weight: 3, arbitrary: hostileObject(names) },
    fc.constantFrom('', 'null', '[]', '0', '"x"', '{"event":"up"}', '{', '\r', '\u0000', 'z'.repeat(3_000)),
    fc.string({ maxLength: 60, unit: 'binary' }),
  );
  return harmed(fc.array(line, { maxLength: 8 }).map((list) => Buffer.from(`${list.join('\n')}\n`)));
}

/** The same bytes in pieces. */
export function inPieces(bytes: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer[]> {
  return fc
    .tuple(bytes, fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 12 }))
    .map(([whole, sizes]) => {
      const pieces: Buffer[] = [];
      let at = 0;
      for (const size of sizes) {
        if (at >= whole.length) break;
        pieces.push(whole.subarray(at, at + size));
        at += size;
      }
      pieces.push(whole.subarray(at));
      return pieces;
    });
}
