import { expect } from 'chai';
import { ask } from './http-client.js';
import { type Handler, startBox, type TestBox } from './in-process-platform.js';

const CODE = 'export default () => undefined;';
const saying =
  (text: string): Handler =>
  (call, sink, timeline) => {
    sink.onHead(200, {});
    sink.onChunk(Buffer.from(`${text} ${call.ref.key} ${call.path}`));
    sink.onEnd({ ...timeline, endedMs: performance.now() });
  };

describe('functions of namespaces, over HTTP', () => {
  let box: TestBox;
  let url: string;
  before(async () => {
    box = await startBox();
    url = box.gateway.url;
    await box.serve('hello', saying('default'));
    await box.serve('team/hello', saying('team'));
    // A path of this one is nearly the name of that one.
    await box.serve('team', saying('no namespace'));
  });
  after(() => box.close());
  const put = (text: string, body: object) =>
    ask(`${url}/v1/functions/${text}`, {
      method: 'PUT',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ code: CODE, ...body }),
    });

  it('calls the one that the path names, in each way of writing it', async () => {
    for (const [path, answer] of [
      ['hello', 'default hello /'],
      ['hello:live/a', 'default hello /a'],
      ['default%2Fhello', 'default hello /'],
      ['team%2Fhello', 'team team/hello /'],
      ['team%2fhello%3alive/a%2Fb?c', 'team team/hello /a%2Fb'],
      ['team/hello', 'no namespace team /hello'],
    ] as const) {
      expect((await ask(`${url}/function/${path}`)).body.toString(), path).to.equal(answer);
    }
  });

  it('counts the calls of each for itself, and those of nobody together', async () => {
    await ask(`${url}/function/team%2Fhello`);
    await ask(`${url}/function/team%2Fnobody`);
    await ask(`${url}/function/team%2Fhello:canary`);
    const { body } = await ask(`${url}/metrics`);
    const counted = [...body.toString().matchAll(/^nemo_function_invocations_total\{function="([^"]+)"/gm)];
    const names = [...new Set(counted.map(([, name]) => name))].sort();
    expect(names).to.deep.equal(['(unknown)', 'hello', 'team', 'team/hello']);
  });

  it('deploys, describes and removes the one that path and body name together', async () => {
    const created = await put('crud', { namespace: 'a' });
    expect(created.status).to.equal(201);
    expect(created.json()).to.include({ namespace: 'a', name: 'crud', version: 1 });
    expect((await put('a%2Fcrud', {})).json()).to.include({ namespace: 'a', name: 'crud', version: 2 });
    expect((await put('a%2Fcrud', { namespace: 'a', name: 'crud' })).json().version).to.equal(3);
    expect((await put('crud', {})).json()).to.include({ namespace: 'default', name: 'crud', version: 1 });
    for (const text of ['a%2Fcrud', 'a%2fcrud:live'])
      expect((await ask(`${url}/v1/functions/${text}`)).json(), text).to.include({
        namespace: 'a',
        version: 3,
      });
    expect((await ask(`${url}/v1/functions/a%2Fcrud`, { method: 'DELETE' })).status).to.equal(204);
    expect((await ask(`${url}/v1/functions/a%2Fcrud`)).status).to.equal(404);
    expect((await ask(`${url}/v1/functions/crud`)).json()).to.include({ namespace: 'default', version: 1 });
    expect((await ask(`${url}/v1/functions/crud`, { method: 'DELETE' })).status).to.equal(204);
  });

  it('refuses a deploy of what is no function, or of another than the body names', async () => {
    for (const [text, body, says] of [
      ['a%2Fb', { namespace: 'c' }, /the path names 'a\/b'/],
      ['a%2Fb', { name: 'a/b' }, /the path names 'a\/b'/],
      ['b', { namespace: 'A' }, /'A' cannot name a namespace/],
      ['b', { namespace: '' }, /'' cannot name a namespace/],
      ['b', { namespace: '../..' }, /'\.\.\/\.\.' cannot name a namespace/],
      ['b', { namespace: 7 }, /namespace cannot name a namespace/],
      ['a%2Fb%2Fc', {}, /'b\/c' cannot name a function/],
      ['..%2Fx%2Fy', {}, /'x\/y' cannot name a function/],
      ['a%2F', {}, /'' cannot name a function/],
      ['b:live', {}, /'b:live' names one version/],
      ['a%2Fb:', {}, /'a\/b:' names one version/],
      [encodeURIComponent('é'), {}, /'é' cannot name a function/],
      ['a'.repeat(10_000), {}, /'a{80}' cannot name a function/],
    ] as const) {
      const answer = await put(text, body);
      expect(answer.status, text.slice(0, 80)).to.equal(400);
      expect(answer.json().error.code).to.equal('BAD_REQUEST');
      expect(answer.json().error.message, text.slice(0, 80)).to.match(says);
    }
  });

  it('finds nothing by any other text, and says which', async () => {
    for (const [text, says] of [
      ['nobody', "there is no function 'nobody'"],
      ['team%2Fnobody', "there is no function 'team/nobody'"],
      ['..%2Fx%2Fy', "there is no function '../x/y'"],
      ['a%2Fb%2Fc', "there is no function 'a/b/c'"],
      [':', "there is no function ':'"],
      ['hello:1', "the function 'hello' has no alias '1'"],
      ['team%2Fhello:', "the function 'team/hello' has no alias ''"],
      ['a'.repeat(10_000), `there is no function '${'a'.repeat(80)}'`],
    ] as const) {
      for (const [method, path] of [
        ['GET', `/v1/functions/${text}`],
        ['GET', `/v1/functions/${text}/logs`],
        ['GET', `/v1/functions/${text}/traces`],
        ['POST', `/function/${text}`],
      ] as const) {
        // A call decodes no more of a path than it has to.
        const answer = await ask(url + path, { method });
        expect(answer.status, path.slice(0, 80)).to.equal(404);
        const { code, message, hint } = answer.json().error;
        expect([code, hint === undefined]).to.deep.equal(['NOT_FOUND', false]);
        if (method === 'GET') expect(message, path.slice(0, 80)).to.equal(says);
      }
    }
    for (const path of ['', 'hel%6Co', '%68ello', '%zz', 'team%252Fhello', 'default%2Fteam%2Fhello'])
      expect((await ask(`${url}/function/${path}`)).status, path).to.equal(404);
  });
});
