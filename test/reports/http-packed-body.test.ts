/** Report: a gzipped body, or one in another charset, is mangled or refused as bad JSON. */

import * as zlib from 'node:zlib';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { Sandbox } from '../../src/sandbox/engine.js';
import { type Answer, ask } from '../gateway/http-client.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { call, errorOf, SandboxBench } from '../support/sandboxes.js';
import { skippable, zstdOf } from '../support/zstd.js';

const CODE = 'export default () => "é";';
const JSON_TEXT = JSON.stringify({ code: CODE });
/** Several frames, which newer versions of node know. */
const zstdFrames = (text: string): Buffer => {
  const bytes = Buffer.from(text);
  const parts = [bytes.subarray(0, 0), bytes.subarray(0, 3), bytes.subarray(3)].map(zstdOf);
  return Buffer.concat([skippable(3, bytes), ...parts, skippable(0, bytes)]);
};
const HAS_ZSTD = 'zstdDecompress' in zlib;
const utf16be = (text: string): Buffer => Buffer.from(text, 'utf16le').swap16();

describe('report: packed bodies and other charsets, sent to the API', () => {
  let box: TestBox;
  let plain: number;
  before(async () => {
    box = await startBox();
    plain = (await deploy(Buffer.from(JSON_TEXT), {})).json().codeBytes;
  });
  after(() => box.close());
  const deploy = (body: Buffer, headers: Record<string, string>): Promise<Answer> =>
    ask(`${box.gateway.url}/v1/functions/packed`, { method: 'PUT', headers, body });

  for (const [what, body, headers] of [
    ['gzip', gzipSync(JSON_TEXT), { 'content-encoding': 'gzip' }],
    ['x-gzip, in capitals', gzipSync(JSON_TEXT), { 'content-encoding': 'X-GZIP' }],
    ['deflate', deflateSync(JSON_TEXT), { 'content-encoding': 'deflate' }],
    ['deflate without its head', deflateRawSync(JSON_TEXT), { 'content-encoding': 'deflate' }],
    ['br', brotliCompressSync(JSON_TEXT), { 'content-encoding': 'br' }],
    ['one in the other', gzipSync(deflateSync(JSON_TEXT)), { 'content-encoding': 'deflate, gzip' }],
    ...(HAS_ZSTD ? [['zstd in frames', zstdFrames(JSON_TEXT), { 'content-encoding': 'zstd' }] as const] : []),
    ['identity', Buffer.from(JSON_TEXT), { 'content-encoding': 'identity' }],
    ['Latin-1', Buffer.from(JSON_TEXT, 'latin1'), { 'content-type': 'application/json; charset=ISO-8859-1' }],
    [
      'UTF-8 in single quotes',
      Buffer.from(JSON_TEXT),
      { 'content-type': "application/json; charset='utf-8'" },
    ],
    ['UTF-16', Buffer.from(`\ufeff${JSON_TEXT}`, 'utf16le'), {}],
    ['UTF-16, named', utf16be(JSON_TEXT), { 'content-type': 'application/json; charset=utf-16be' }],
    ['UTF-8 with a mark', Buffer.from(`\ufeff${JSON_TEXT}`), {}],
  ] as ReadonlyArray<[string, Buffer, Record<string, string>]>) {
    it(`takes ${what}`, async () => {
      const answer = await deploy(body, headers);
      expect(answer.status, answer.body.toString()).to.be.oneOf([200, 201]);
      expect(answer.json().codeBytes).to.equal(plain);
    });
  }

  it('reads what Windows-1252 has where others have control characters', async () => {
    const body = Buffer.from(JSON.stringify({ code: 'export default () => "\u0093";' }), 'latin1');
    const answer = await deploy(body, { 'content-type': 'application/json; charset=windows-1252' });
    // Stored as `\u201C`, where `é` is `\xE9`.
    expect(answer.json().codeBytes, answer.body.toString()).to.equal(plain + 2);
  });

  it('takes a packed body that is empty for none', async () => {
    const empty = await deploy(Buffer.alloc(0), {});
    for (const body of [gzipSync(''), Buffer.alloc(0)]) {
      const answer = await deploy(body, { 'content-encoding': 'gzip' });
      expect([answer.status, answer.json().error.message]).to.deep.equal([
        empty.status,
        empty.json().error.message,
      ]);
    }
  });

  for (const [what, body, headers, status, code] of [
    ['a coding that nobody knows', Buffer.from('x'), { 'content-encoding': 'snappy' }, 415, 'BODY_CODING'],
    [
      'a charset that nobody knows',
      Buffer.from('{}'),
      { 'content-type': 'application/json; charset=klingon' },
      415,
      'BODY_CODING',
    ],
    ['what is not packed', Buffer.from(JSON_TEXT), { 'content-encoding': 'gzip' }, 400, 'BAD_REQUEST'],
    [
      'what breaks off',
      gzipSync(JSON_TEXT).subarray(0, 20),
      { 'content-encoding': 'gzip' },
      400,
      'BAD_REQUEST',
    ],
    [
      'what unpacks to too much',
      gzipSync(Buffer.alloc(17 * 2 ** 20)),
      { 'content-encoding': 'gzip' },
      413,
      'BODY_TOO_LARGE',
    ],
    ['what is not UTF-8', Buffer.from([0x22, 0xe9, 0x22]), {}, 400, 'BAD_REQUEST'],
  ] as ReadonlyArray<[string, Buffer, Record<string, string>, number, string]>) {
    it(`refuses ${what}`, async () => {
      const answer = await deploy(body, headers);
      expect([answer.status, answer.json().error.code]).to.deep.equal([status, code]);
      const codings = what === 'a coding that nobody knows' ? /^gzip, deflate, br/ : /^undefined$/;
      expect(String(answer.headers['accept-encoding'])).to.match(codings);
    });
  }
});

describe('report: packed bodies and other charsets, sent to a function', function () {
  this.timeout(20_000);
  const bench = new SandboxBench();
  let sandbox: Sandbox;
  before(async () => {
    sandbox = await bench.run(
      'export default (event) => (Buffer.isBuffer(event) ? ["bytes", event.toString("hex")] : event);',
    );
  });
  after(async () => {
    await sandbox.kill();
    await bench.close();
  });

  const text = 'text/plain';
  for (const [what, body, type, coding, event] of [
    ['gzipped JSON', gzipSync('{"a":"é"}'), 'application/json', 'gzip', '{"a":"é"}'],
    ...(HAS_ZSTD
      ? [['zstd in frames', zstdFrames('{"a":1}'), 'application/json', 'zstd', '{"a":1}'] as const]
      : []),
    ['JSON with a mark', Buffer.from('\ufeff{"a":1}'), 'application/json', undefined, '{"a":1}'],
    ['JSON in UTF-16', utf16be('\ufeff{"a":1}'), 'application/json', undefined, '{"a":1}'],
    ['text in Latin-1', Buffer.from('é', 'latin1'), `${text}; charset=iso-8859-1`, undefined, 'é'],
    [
      'text in Windows-1252',
      Buffer.from([0x80, 0x93, 0x9f, 0x81, 0xe9]),
      `${text}; charset=windows-1252`,
      undefined,
      '€“Ÿ\u0081é',
    ],
    ['text in UTF-8, in single quotes', Buffer.from('é'), `${text}; charset='utf-8'`, undefined, 'é'],
    ['one in the other', gzipSync(deflateSync('x')), text, 'deflate, gzip', 'x'],
    ['one in nothing', gzipSync('x'), text, 'gzip, identity', 'x'],
    ['too many in each other', Buffer.from('a'), text, 'gzip, gzip, gzip, gzip', '["bytes","61"]'],
    ['packed JSON that is empty, which is null', gzipSync(''), 'application/json', 'gzip', ''],
    ['text in Shift JIS', Buffer.from([0x83, 0x65]), `${text}; charset="Shift_JIS"`, undefined, 'テ'],
    [
      'text of a charset that nobody knows',
      Buffer.from('a'),
      `${text}; charset=x`,
      undefined,
      '["bytes","61"]',
    ],
    ['text that is not what it should be', Buffer.from([0xe9]), text, undefined, '["bytes","e9"]'],
    ['a coding that nobody knows', Buffer.from('a'), 'application/json', 'snappy', '["bytes","61"]'],
    ['bytes', Buffer.from([0x1f, 0x8b]), 'application/octet-stream', 'gzip', '["bytes","1f8b"]'],
  ] as ReadonlyArray<[string, Buffer, string, string | undefined, string]>) {
    it(`${what}: unpacked and decoded if it is known how, else as it came`, async () => {
      const headers: Record<string, string> = { 'content-type': type };
      if (coding !== undefined) headers['content-encoding'] = coding;
      expect((await call(sandbox, { headers, body })).body.toString()).to.equal(event);
    });
  }

  it('JSON that is not UTF-8 is the caller’s fault, not mangled', async () => {
    const headers = { 'content-type': 'application/json' };
    const error = await errorOf(call(sandbox, { headers, body: Buffer.from([0x22, 0xe9, 0x22]) }));
    expect(error.code).to.equal('BAD_REQUEST');
  });
});
