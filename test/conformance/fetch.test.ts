/**
 * The Fetch standard (fetch.spec.whatwg.org) where a function's Request and Response meet the wire: one line a rule,
 * with its section. Functions run in a real sandbox; what is asked and answered is looked at as HTTP.
 */

import { performance } from 'node:perf_hooks';
import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync } from 'node:zlib';
import { expect } from 'chai';
import type { Sandbox } from '../../src/sandbox/engine.js';
import { type Answer, type Ask, ask } from '../gateway/http-client.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';
import { SandboxBench } from '../support/sandboxes.js';

interface Row {
  rule: string;
  /** Runs in the sandbox: it knows nothing of this file. */
  answer: (request: Request) => unknown;
  ask?: Ask;
  status?: number;
  headers?: Record<string, string | RegExp | undefined>;
  body?: string | RegExp | Buffer;
}

const JSON_TYPE = { 'content-type': 'application/json' };
const posted = (body: string | Buffer, headers: Record<string, string> = {}): Ask => ({
  method: 'POST',
  headers,
  body,
});

// biome-ignore format: one line a rule
const TABLE: Record<string, Row[]> = {
  '5.3, 6.4 Request': [
    { rule: 'method', answer: ({ method }) => new Response(method), ask: { method: 'PUT' }, body: 'PUT' },
    { rule: 'a method that is no token of fetch comes as it is', answer: ({ method }) => new Response(method), ask: { method: 'PROPFIND' }, body: 'PROPFIND' },
    { rule: 'url: scheme, host, path below the function, query', answer: ({ url }) => new Response(url.replace(/:\d+/, '')), body: /^http:\/\/127\.0\.0\.1\/\d+\?q=%20a$/ },
    { rule: 'headers, in lower case and combined', answer: ({ headers }) => new Response(headers.get('X-A')), ask: { headers: { 'x-a': ['b', 'c'] } }, body: 'b, c' },
    { rule: 'signal: not aborted while the caller is there', answer: ({ signal }) => new Response(`${signal.aborted}`), body: 'false' },
    { rule: 'text()', answer: async (request) => new Response(await request.text()), ask: posted('a é'), body: 'a é' },
    { rule: 'json()', answer: async (request) => Response.json(((await request.json()) as { a: number }).a), ask: posted('{"a":1}', JSON_TYPE), body: '1' },
    { rule: 'json() of what is none rejects', answer: (request) => request.json().then(() => 'no', (error) => new Response(error.name)), ask: posted('{', JSON_TYPE), body: 'SyntaxError' },
    { rule: 'arrayBuffer()', answer: async (request) => new Response(await request.arrayBuffer()), ask: posted(Buffer.from([0, 255, 128])), body: Buffer.from([0, 255, 128]) },
    { rule: 'blob(), with its type', answer: async (request) => new Response((await request.blob()).type), ask: posted('x', { 'content-type': 'image/png' }), body: 'image/png' },
    { rule: 'formData() of a form', answer: async (request) => new Response(`${(await request.formData()).get('a')}`), ask: posted('a=b%20c&d=e', { 'content-type': 'application/x-www-form-urlencoded' }), body: 'b c' },
    { rule: 'formData() in parts', answer: async (request) => new Response(await ((await request.formData()).get('f') as File).text()), ask: posted('--b\r\nContent-Disposition: form-data; name="f"; filename="n"\r\n\r\ncontent\r\n--b--\r\n', { 'content-type': 'multipart/form-data; boundary=b' }), body: 'content' },
    { rule: 'body is a stream', answer: (request) => new Response(request.body), ask: posted('streamed'), body: 'streamed' },
    { rule: 'body is null without one', answer: (request) => new Response(`${request.body}`), body: 'null' },
    { rule: 'a body is used once', answer: async (request) => { await request.text(); return request.text().catch((error) => new Response(`${error.name} ${request.bodyUsed}`)); }, ask: posted('x'), body: 'TypeError true' },
    { rule: 'clone()', answer: async (request) => { const other = request.clone(); return new Response((await request.text()) + (await other.text())); }, ask: posted('x'), body: 'xx' },
    { rule: 'a Request of it', answer: async (request) => new Response(await new Request(request, { headers: { a: 'b' } }).text()), ask: posted('x'), body: 'x' },
  ],
  '8.4 of RFC 9110: what is packed': [
    { rule: 'gzip', answer: async (request) => Response.json([await request.json(), request.headers.get('content-encoding'), request.headers.get('content-length')]), ask: posted(gzipSync('{"a":1}'), { ...JSON_TYPE, 'content-encoding': 'gzip' }), body: '[{"a":1},null,"7"]' },
    { rule: 'deflate', answer: async (request) => Response.json(await request.json()), ask: posted(deflateSync('[1]'), { ...JSON_TYPE, 'content-encoding': 'Deflate' }), body: '[1]' },
    { rule: 'deflate without its head', answer: async (request) => Response.json(await request.json()), ask: posted(deflateRawSync('[1]'), { ...JSON_TYPE, 'content-encoding': 'deflate' }), body: '[1]' },
    { rule: 'br, of text', answer: async (request) => new Response(await request.text()), ask: posted(brotliCompressSync('text'), { 'content-type': 'text/plain', 'content-encoding': 'br' }), body: 'text' },
    { rule: 'gzip, of any type', answer: async (request) => new Response(`${request.headers.get('content-encoding')} ${(await request.arrayBuffer()).byteLength}`), ask: posted(gzipSync('x'), { 'content-type': 'application/x-protobuf', 'content-encoding': 'gzip' }), body: 'null 1' },
    { rule: 'gzip, of no type', answer: async (request) => Response.json(await request.json()), ask: posted(gzipSync('[1]'), { 'content-encoding': 'gzip' }), body: '[1]' },
    { rule: 'gzip, of a form', answer: async (request) => new Response(`${(await request.formData()).get('a')}`), ask: posted(gzipSync('a=b'), { 'content-type': 'application/x-www-form-urlencoded', 'content-encoding': 'gzip' }), body: 'b' },
    { rule: 'one in the other', answer: async (request) => new Response(await request.text()), ask: posted(gzipSync(deflateSync('x')), { 'content-encoding': 'deflate, gzip' }), body: 'x' },
    { rule: 'an empty one', answer: async (request) => new Response(`${request.body} ${request.headers.get('content-length')}`), ask: posted(gzipSync(''), { 'content-encoding': 'gzip' }), body: 'null 0' },
    { rule: 'a coding that nobody knows comes as it is', answer: async (request) => new Response(`${request.headers.get('content-encoding')} ${await request.text()}`), ask: posted('x', { 'content-type': 'text/plain', 'content-encoding': 'snappy' }), body: 'snappy x' },
    { rule: 'one of several that nobody knows: all comes as it is', answer: async (request) => new Response(`${request.headers.get('content-encoding')} ${await request.text()}`), ask: posted('x', { 'content-encoding': 'snappy, gzip' }), body: 'snappy, gzip x' },
    { rule: 'what is not packed as it says is the caller’s fault', answer: () => 'never', ask: posted('x', { 'content-type': 'text/plain', 'content-encoding': 'gzip' }), status: 400 },
    { rule: 'what unpacks to too much: 413', answer: () => 'never', ask: posted(gzipSync(Buffer.alloc(9 * 2 ** 20)), { 'content-type': 'text/plain', 'content-encoding': 'gzip' }), status: 413 },
  ],
  '5.5 Response': [
    { rule: 'a string has a type, and its length', answer: () => new Response('héllo'), headers: { 'content-type': 'text/plain;charset=UTF-8', 'content-length': '6', 'transfer-encoding': undefined }, body: 'héllo' },
    { rule: 'a type of its own stays', answer: () => new Response('x', { headers: { 'content-type': 'text/css' } }), headers: { 'content-type': 'text/css' } },
    { rule: 'Response.json()', answer: () => Response.json({ a: 'b' }, { status: 201 }), status: 201, headers: { 'content-type': 'application/json', 'content-length': '9' }, body: '{"a":"b"}' },
    { rule: 'Response.redirect()', answer: () => Response.redirect('http://a.example/b', 303), status: 303, headers: { location: 'http://a.example/b', 'content-length': '0' }, body: '' },
    { rule: 'Response.error() is no answer', answer: () => Response.error(), status: 500 },
    { rule: 'no body', answer: () => new Response(), headers: { 'content-length': '0', 'content-type': undefined }, body: '' },
    { rule: 'an empty string', answer: () => new Response(''), headers: { 'content-length': '0' }, body: '' },
    { rule: 'bytes have no type', answer: () => new Response(new Uint8Array([1, 2])), headers: { 'content-type': undefined, 'content-length': '2' }, body: Buffer.from([1, 2]) },
    { rule: 'a part of an ArrayBuffer', answer: () => new Response(new Uint8Array([1, 2, 3, 4]).subarray(1, 3)), body: Buffer.from([2, 3]) },
    { rule: 'URLSearchParams', answer: () => new Response(new URLSearchParams({ a: 'b c' })), headers: { 'content-type': 'application/x-www-form-urlencoded;charset=UTF-8' }, body: 'a=b+c' },
    { rule: 'a Blob and its type', answer: () => new Response(new Blob(['blob'], { type: 'image/png' })), headers: { 'content-type': 'image/png' }, body: 'blob' },
    { rule: 'a Blob without a type', answer: () => new Response(new Blob(['blob'])), headers: { 'content-type': undefined }, body: 'blob' },
    { rule: 'FormData', answer: () => { const form = new FormData(); form.set('a', 'b'); return new Response(form); }, headers: { 'content-type': /^multipart\/form-data; boundary=/ }, body: /name="a"\r\n\r\nb\r\n/ },
    // biome-ignore lint/plugin: the code of a function, whose answer is not all there at first.
    { rule: 'a stream of bytes', answer: () => new Response(new ReadableStream({ async pull(controller) { await new Promise((next) => setTimeout(next, 5)); controller.enqueue(new Uint8Array([65])); controller.close(); } })), headers: { 'transfer-encoding': 'chunked', 'content-length': undefined }, body: 'A' },
    { rule: 'a stream that is all there has a length', answer: () => new Response(new ReadableStream({ start(controller) { controller.enqueue(new Uint8Array([65])); controller.close(); } })), headers: { 'content-length': '1' }, body: 'A' },
    { rule: 'a stream that fails at once is an error', answer: () => new Response(new ReadableStream({ start(controller) { controller.error(new Error('no')); } })), status: 500 },
    // biome-ignore lint/plugin: the code of a function, whose answer is not all there at first.
    { rule: 'a length that is told with a stream', answer: () => new Response(new ReadableStream({ async pull(controller) { await new Promise((next) => setTimeout(next, 5)); controller.enqueue(new Uint8Array([65])); controller.close(); } }), { headers: { 'content-length': '1' } }), headers: { 'content-length': '1', 'transfer-encoding': undefined }, body: 'A' },
    { rule: 'a body that was used is an error', answer: async () => { const response = new Response('x'); await response.text(); return response; }, status: 500 },
    { rule: 'clone()', answer: () => new Response('cloned').clone(), body: 'cloned' },
    { rule: 'the body of another', answer: () => new Response(new Response('inner').body), body: 'inner' },
    { rule: 'a status beyond 599 cannot be made', answer: () => { try { return new Response(null, { status: 600 }); } catch (error) { return new Response((error as Error).name); } }, body: 'RangeError' },
    { rule: 'a status below 200 cannot be made', answer: () => { try { return new Response(null, { status: 101 }); } catch (error) { return new Response((error as Error).name); } }, body: 'RangeError' },
    ...[204, 205, 304].map((status): Row => ({ rule: `${status} has a null body`, answer: new Function('request', `return new Response(null, { status: ${status}, headers: { etag: '"a"' } })`) as Row['answer'], status, headers: { etag: '"a"', 'transfer-encoding': undefined }, body: '' })),
    ...[204, 205, 304].map((status): Row => ({ rule: `${status} with a body cannot be made`, answer: new Function('request', `try { return new Response('', { status: ${status} }); } catch (error) { return new Response(error.name); }`) as Row['answer'], body: 'TypeError' })),
    ...[200, 299, 404, 500, 599].map((status): Row => ({ rule: `${status} as it is`, answer: new Function('request', `return new Response('s', { status: ${status} })`) as Row['answer'], status, body: 's' })),
    { rule: 'HEAD has the length, and no body', answer: () => new Response('hello'), ask: { method: 'HEAD' }, headers: { 'content-length': '5' }, body: '' },
  ],
  '5.1 Headers': [
    { rule: 'a name that is none', answer: () => { try { new Headers({ 'a b': 'c' }); } catch (error) { return new Response((error as Error).name); } return 0; }, body: 'TypeError' },
    { rule: 'a value that is no ByteString', answer: () => { try { new Headers({ a: '\u2603' }); } catch (error) { return new Response((error as Error).name); } return 0; }, body: 'TypeError' },
    { rule: 'a value with a line break', answer: () => { try { new Headers({ a: 'b\r\nc: d' }); } catch (error) { return new Response((error as Error).name); } return 0; }, body: 'TypeError' },
    { rule: 'a value of Latin-1', answer: () => new Response('', { headers: { 'x-a': '\u00e9' } }), headers: { 'x-a': '\u00e9' } },
    { rule: 'values are normalized', answer: () => new Response('', { headers: { 'x-a': ' b ' } }), headers: { 'x-a': 'b' } },
    { rule: 'several of one name', answer: () => new Response('', { headers: [['x-a', 'b'], ['x-a', 'c']] }), headers: { 'x-a': 'b, c' } },
    { rule: 'forbidden names of requests are none of responses', answer: () => new Response('', { headers: { 'x-method-override': 'a', origin: 'b' } }), headers: { 'x-method-override': 'a', origin: 'b' } },
  ],
};

describe('conformance: the Fetch standard at the wire', function () {
  this.timeout(20_000);
  const rows = Object.values(TABLE).flat();
  const bench = new SandboxBench();
  let box: TestBox;
  let sandbox: Sandbox;
  before(async () => {
    const cases = rows.map(({ answer }) => answer.toString()).join(',\n');
    sandbox = await bench.run(
      `const cases = [${cases}, () => {
         const headers = new Headers({ 'set-cookie': 'a=1; Expires=Sat, 29 Oct 1994 19:43:31 GMT' });
         headers.append('set-cookie', 'b=2');
         return new Response('', { headers });
       }];
       export default { fetch: (request) => cases[Number(new URL(request.url).pathname.slice(1))](request) };`,
    );
    box = await startBox({ functionsPort: 0 });
    await box.serve('web', (call, sink, timeline) => {
      sandbox.invoke(call, performance.now() + 10_000, {
        onHead: (status, headers) => sink.onHead(status, headers),
        onChunk: (chunk, sent) => sink.onChunk(chunk, sent),
        onEnd: () => sink.onEnd(timeline),
        onError: (error) => sink.onError(error, undefined),
      });
    });
  });
  after(async () => {
    await box.close();
    await sandbox.kill();
    await bench.close();
  });
  const asked = (index: number, how: Ask = {}): Promise<Answer> =>
    ask(`${box.gateway.functionsUrl}/function/web/${index}?q=%20a`, how);

  for (const [section, of] of Object.entries(TABLE)) {
    describe(section, () => {
      for (const row of of) {
        it(row.rule, async () => {
          const answer = await asked(rows.indexOf(row), row.ask);
          expect(answer.status, answer.body.toString()).to.equal(row.status ?? 200);
          for (const [name, value] of Object.entries(row.headers ?? {})) {
            if (value instanceof RegExp) expect(answer.headers[name], name).to.match(value);
            else expect(answer.headers[name], name).to.equal(value);
          }
          if (row.body instanceof RegExp) expect(answer.body.toString()).to.match(row.body);
          else if (Buffer.isBuffer(row.body)) expect(answer.body).to.deep.equal(row.body);
          else if (row.body !== undefined) expect(answer.body.toString()).to.equal(row.body);
        });
      }
    });
  }

  it('5.1 Headers: each cookie has a line of its own', async () => {
    const { headers } = await asked(rows.length);
    expect(headers['set-cookie']).to.deep.equal(['a=1; Expires=Sat, 29 Oct 1994 19:43:31 GMT', 'b=2']);
  });
});
