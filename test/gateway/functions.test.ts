import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import { ask } from './http-client.js';
import { echo, startBox, type TestBox } from './in-process-platform.js';

const CODE = 'export default async () => 1;';

describe('function API', () => {
  let box: TestBox;
  let url: string;
  before(async () => {
    box = await startBox();
    url = box.gateway.url;
  });
  after(() => box.close());
  const put = (name: string, body: unknown) =>
    ask(`${url}/v1/functions/${name}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: typeof body === 'string' ? body : JSON.stringify(body),
    });

  it('creates with 201, updates with 200, describes, lists, removes with 204', async () => {
    const created = await put('crud', {
      code: CODE,
      memory: '64Mi',
      timeout: '2s',
      env: { B: 'secret', A: 'x' },
    });
    expect(created.status).to.equal(201);
    expect(created.json()).to.include({ name: 'crud', memoryBytes: 64 * 2 ** 20, timeoutMs: 2_000 });
    expect(created.json().env).to.deep.equal(['A', 'B']);
    const updated = await put('crud', { code: CODE });
    expect(updated.status).to.equal(200);
    expect((await ask(`${url}/v1/functions/crud`)).json()).to.deep.equal(updated.json());
    const list = (await ask(`${url}/v1/functions`)).json();
    expect(list.functions.map(({ name }: { name: string }) => name)).to.deep.equal(['crud']);
    const removed = await ask(`${url}/v1/functions/crud`, { method: 'DELETE' });
    expect(removed.status).to.equal(204);
    expect(removed.body).to.have.length(0);
    expect((await ask(`${url}/v1/functions/crud`)).status).to.equal(404);
  });

  it('never shows values of the environment', async () => {
    await put('env', { code: CODE, env: { TOKEN: 'hunter2' } });
    for (const path of ['/v1/functions', '/v1/functions/env', '/v1/status', '/metrics']) {
      expect((await ask(url + path)).body.toString(), path).to.not.contain('hunter2');
    }
  });

  for (const [what, body, code, says] of [
    ['JSON that does not parse', '{"code": ', 'BAD_REQUEST', /no JSON/],
    ['an empty body', '', 'BAD_REQUEST', /no JSON object|not a JSON object/],
    ['an array', '[]', 'BAD_REQUEST', /not a JSON object/],
    ['null', 'null', 'BAD_REQUEST', /not a JSON object/],
    ['another name in the body', { name: 'b', code: CODE }, 'BAD_REQUEST', /another function/],
    ['an unknown field', { code: CODE, cpu: 1 }, 'BAD_REQUEST', /'cpu'/],
    ['bad memory', { code: CODE, memory: '12 parsecs' }, 'BAD_REQUEST', /memory/],
    ['code that does not parse', { code: 'export default (\n=' }, 'BAD_FUNCTION', /bad\.ts:2:/],
    ['a prototype', '{"__proto__": {"code": "x"}}', 'BAD_REQUEST', /__proto__|no code/],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const answer = await put('bad', body);
      expect(answer.status).to.equal(400);
      const { error } = answer.json();
      expect(error.code).to.equal(code);
      expect(error.message).to.match(says);
      expect(box.platform.registry.get('bad')).to.equal(undefined);
    });
  }

  it('refuses a deploy that is too large with 413', async () => {
    const answer = await put('bad', JSON.stringify({ code: 'x'.repeat(17 * 2 ** 20) }));
    expect(answer.status).to.equal(413);
    expect(answer.json().error.code).to.equal('BODY_TOO_LARGE');
  });

  it('refuses names that would be paths', async () => {
    for (const name of ['..%2f..%2fetc', '%00', 'A', '%E0%A4%A']) {
      expect((await put(name, { code: CODE })).status, name).to.equal(400);
    }
  });

  it('says NOT_FOUND for unknown functions and paths', async () => {
    for (const [method, path] of [
      ['GET', '/v1/functions/nobody'],
      ['DELETE', '/v1/functions/nobody'],
      ['GET', '/v1/functions/nobody/logs'],
      ['GET', '/function/nobody'],
      ['GET', '/nowhere'],
      ['GET', '/'],
    ] as const) {
      const answer = await ask(url + path, { method });
      expect(answer.status, path).to.equal(404);
      expect(answer.json().error.code, path).to.equal('NOT_FOUND');
      expect(answer.json().error.hint, path).to.be.a('string');
    }
  });

  it('says what may be done at a path where something else was asked for', async () => {
    for (const [method, path, allowed] of [
      ['POST', '/v1/functions', 'GET'],
      ['POST', '/v1/functions/echo', 'PUT'],
      ['DELETE', '/v1/functions/echo/logs', 'GET'],
      ['PATCH', '/healthz', 'GET'],
    ] as const) {
      const answer = await ask(url + path, { method });
      expect(answer.status, path).to.equal(405);
      expect(answer.headers.allow!.split(', '), path).to.include(allowed);
      expect(answer.json().error).to.include({ code: 'BAD_REQUEST' });
      expect(answer.json().error.hint).to.contain(allowed);
    }
    const feed = await ask(`${url}/feed`);
    expect(feed.status).to.equal(426);
    expect(feed.headers.upgrade).to.equal('websocket');
    expect(feed.json().error.hint).to.contain('/v1/status');
  });

  it('refuses an address that cannot be decoded in the form of every error', async () => {
    const answer = await ask(`${url}/v1/functions/%ff`);
    expect(answer.status).to.equal(400);
    expect(answer.headers['x-nemo-error']).to.equal('BAD_REQUEST');
    expect(answer.json().error).to.include({ code: 'BAD_REQUEST' });
  });

  it('gives status, events since a number, and health', async () => {
    const frame = (await ask(`${url}/v1/status`)).json();
    expect(frame).to.deep.equal(JSON.parse(JSON.stringify(box.platform.frame())));
    for (const message of ['one', 'two', 'three']) {
      box.platform.events.emit({ kind: 'warning', severity: 'warning', message });
    }
    const { events } = (await ask(`${url}/v1/events?since=1`)).json();
    expect(events.map((event: { message: string }) => event.message)).to.deep.equal(['two', 'three']);
    expect((await ask(`${url}/v1/events?since=x`)).status).to.equal(400);
    expect((await ask(`${url}/healthz`)).json()).to.deep.equal({ status: 'ok' });
  });

  it('counts calls, starts and the frame for Prometheus', async () => {
    await box.serve('counted', echo);
    await box.serve('failing', (_call, sink, timeline) =>
      sink.onError(new NemoError('FUNCTION_TIMEOUT', 'late'), timeline),
    );
    for (let i = 0; i < 3; i++) await ask(`${url}/function/counted`, { method: 'POST', body: 'x' });
    await ask(`${url}/function/failing`);
    await ask(`${url}/function/made-up-${Math.random()}`);
    const scrape = await ask(`${url}/metrics`);
    expect(scrape.headers['content-type']).to.match(/^text\/plain/);
    const text = scrape.body.toString();
    for (const line of [
      'nemo_function_invocations_total{function="counted",outcome="ok"} 3',
      'nemo_function_invocations_total{function="failing",outcome="FUNCTION_TIMEOUT"} 1',
      'nemo_function_seconds_count{function="counted"} 3',
      'nemo_function_seconds_bucket{function="counted",le="+Inf"} 3',
      'nemo_starts_total{kind="warm"} 3',
      `nemo_calls_total{source="http",mode="sync"} ${box.calls.sources.http.sync}`,
      'nemo_core_nf_ratio{core="1"} 0.42',
      'nemo_core_throttle_level{core="1"} 2',
      'nemo_core_conflicts_total{core="1"} 3',
      'nemo_core_seconds_total{core="1",kind="harvested"} 50',
      'nemo_nf_latency_us{nf="firewall-812",quantile="0.99"} 177',
      'nemo_loop_lateness_p99_us 42',
      'nemo_function_sandboxes{function="resize",state="busy"} 1',
    ]) {
      expect(text.split('\n'), line).to.include(line);
    }
    expect(text).to.contain('process_cpu_seconds_total');
    expect(text).to.contain('function="(unknown)",outcome="NOT_FOUND"').and.not.contain('made-up');
    await ask(`${url}/v1/functions/counted`, { method: 'DELETE' });
    expect((await ask(`${url}/metrics`)).body.toString()).to.not.contain('function="counted"');
  });

  it('says which port is taken and how to find by whom', async () => {
    const other = createServer().listen(0, '127.0.0.1');
    await once(other, 'listening');
    const { port } = other.address() as AddressInfo;
    const thrown = await startBox({ port }).then(
      () => undefined,
      (error: unknown) => error as NemoError,
    );
    other.close();
    expect(thrown).to.include({ code: 'PORT_IN_USE' });
    expect(thrown!.message).to.contain(String(port));
    expect(thrown!.hint).to.contain(`ss -ltnp`);
  });
});
