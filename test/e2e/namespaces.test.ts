import { expect } from 'chai';
import type { CallTrace } from '../../src/model/call-trace.js';
import type { LogLine } from '../../src/model/function.js';
import { nemo, RealAgent } from '../support/real-agent.js';

const code = (says: string): string =>
  `export default (event, { functionName }) => {
     console.log('${says} prints');
     return ['${says}', process.env.WHO, functionName].join();
   };`;
const OK_CALLS = /^nemo_function_invocations_total\{function="([^"(]+)",outcome="ok"\} (\d+)$/gm;

describe('two functions of one name', function () {
  this.timeout(60_000);
  let agent: RealAgent;
  before(async () => {
    agent = await new RealAgent({ policy: 'naive' }).start();
  });
  afterEach(async () => {
    for (const text of ['hello', 'team%2Fhello'])
      await agent.fetch(`/v1/functions/${text}`, { method: 'DELETE' });
  });
  after(() => agent.close());
  const json = async <T>(path: string): Promise<T> => (await agent.fetch(path)).json() as Promise<T>;
  const texts = async (function_: string): Promise<string[]> => {
    const lines = (await (await agent.fetch(`/v1/functions/${function_}/logs`)).text()).trim().split('\n');
    return lines.filter((line) => line !== '').map((line) => (JSON.parse(line) as LogLine).text);
  };
  const traced = async (function_: string): Promise<string[]> => {
    const { traces } = await json<{ traces: CallTrace[] }>(`/v1/functions/${function_}/traces`);
    return traces.map(({ functionName }) => functionName);
  };

  for (const engine of ['process', 'isolate']) {
    it(`in two namespaces share nothing, and one stays when the other goes: ${engine}`, async () => {
      const common = { engine, sharingGroup: 'all' };
      await agent.deploy('hello', code('first'), { ...common, env: { WHO: 'a' } });
      await agent.deploy('hello', code('second'), { ...common, env: { WHO: 'b' }, namespace: 'team' });
      for (let i = 0; i < 2; i++) {
        expect((await agent.call('hello')).body).to.equal('first,a,hello');
        expect((await agent.call('team%2Fhello')).body).to.equal('second,b,team/hello');
      }
      await agent.call('team%2Fhello');
      expect(await texts('hello')).to.deep.equal(Array(2).fill('first prints'));
      expect(await texts('team%2Fhello')).to.deep.equal(Array(3).fill('second prints'));
      expect(await traced('hello')).to.deep.equal(Array(2).fill('hello'));
      expect(await traced('team%2Fhello')).to.deep.equal(Array(3).fill('team/hello'));

      const counts = [...(await (await agent.fetch('/metrics')).text()).matchAll(OK_CALLS)];
      expect(counts.map(([, name, count]) => `${name} ${count}`)).to.have.members([
        'hello 2',
        'team/hello 3',
      ]);
      const shown = (await agent.status()).functions;
      expect(shown.map(({ name, completed }) => [name, completed])).to.have.deep.members([
        ['hello', 2],
        ['team/hello', 3],
      ]);
      // Of one sharing group, too: a group is a namespace's own.
      const [first, second] = shown.map((fn) => fn.sandboxes.map(({ pid }) => pid));
      expect(first).to.have.length.above(0);
      expect(second).to.have.length.above(0).and.not.include.members(first!);

      await agent.fetch('/v1/functions/team%2Fhello', { method: 'DELETE' });
      expect((await agent.call('team%2Fhello')).code).to.equal('NOT_FOUND');
      expect((await agent.call('hello')).body).to.equal('first,a,hello');
      expect(await texts('hello')).to.have.length(3);
      expect((await agent.fetch('/v1/functions/team%2Fhello/logs')).status).to.equal(404);
    });
  }

  it('are told apart by every command, and are there again after kill -9', async () => {
    const at = ['--agent', agent.url];
    const deployed = await nemo(['deploy', 'samples/hello.ts', '--namespace', 'team', ...at]);
    expect(deployed.out).to.contain(`curl ${agent.url}/function/team%2Fhello`);
    await nemo(['deploy', 'samples/hello.ts', '--name', 'team/hello', ...at]);
    await nemo(['deploy', 'samples/hello.ts', ...at]);
    expect((await nemo(['describe', 'team/hello', ...at])).out).to.match(/namespace +team\nversion +2\n/);
    expect((await nemo(['describe', 'hello', ...at])).out).to.match(/namespace +default\nversion +1\n/);
    expect((await nemo(['invoke', 'team/hello:live', ...at])).code).to.equal(0);
    expect((await nemo(['trace', 'hello', ...at])).out).to.contain('no calls of "hello" yet');
    expect((await nemo(['invoke', 'team/hello:next', ...at])).err).to.contain("no alias 'next'");

    await agent.end('SIGKILL');
    await agent.start();
    const again = ['--agent', agent.url];
    expect((await nemo(['ls', ...again])).out).to.match(/^hello .*\nteam\/hello /m);
    expect((await nemo(['rm', 'hello', ...again])).out).to.equal('removed hello\n');
    expect((await agent.call('team%2Fhello')).status).to.equal(200);
    expect((await agent.call('hello')).code).to.equal('NOT_FOUND');
  });
});
