/** Functions with packages in a real agent: deployed by the command, served by stems that imported packages ahead. */

import { expect } from 'chai';
import { type Agent, startAgent } from '../../src/agent/agent.js';
import { readConfig, resolveConfig } from '../../src/config/config.js';
import type { FeedFrame } from '../../src/model/feed.js';
import { policyByName } from '../../src/policy/harvest/policies.js';
import { bulk, Projects, SEES_NO_FUNCTION } from '../support/package-project.js';
import { nemo, RealAgent } from '../support/real-agent.js';

const ANSWER = `import { readdirSync } from 'node:fs';
  export default () => ({ ahead, rows: table.length, secret: process.env.SECRET ?? null,
    packages: readdirSync('/function/packages').length });`;
const SHARED = `${SEES_NO_FUNCTION}\n${bulk()}`;
const POOL = {
  prewarm: { policy: 'template', zygoteSaves: '0ms', zygotes: 16 },
  keepAlive: { policy: 'ttl', keepAlive: '60s' },
};

/** In this process, at default scheduling: on a busy machine, what is made in spare time waits for it. */
class PrewarmingAgent extends RealAgent {
  private running: Agent | undefined;

  override async start(): Promise<this> {
    const policy = { ...policyByName('naive'), prewarm: true };
    this.running = await startAgent({ ...resolveConfig(readConfig(this.configFile)), policy });
    this.url = this.running.url;
    return this;
  }

  async stop(): Promise<void> {
    await this.running?.stop();
  }

  override async close(): Promise<void> {
    await this.stop();
    await super.close();
  }
}

describe('an agent that keeps stems with packages', function () {
  this.timeout(60_000);
  const projects = new Projects();
  let agent: PrewarmingAgent;

  before(async () => {
    agent = await new PrewarmingAgent({ pool: POOL }).start();
  });
  after(async () => {
    await agent.close();
    projects.remove();
  });

  const deploy = async (name: string, folder: string, ...more: string[]): Promise<string> => {
    const { code, out, err } = await nemo(['deploy', folder, '--name', name, '--agent', agent.url, ...more]);
    expect(code, err).to.equal(0);
    return out;
  };
  /** A function that imports the package `name` with this code. */
  const deployWith = (name: string, code: string, ...more: string[]): Promise<string> => {
    const index = `import { ahead, table } from '${name}'; ${ANSWER}`;
    return deploy(`uses-${name}`, projects.make({ 'index.js': index }, { [name]: code }), ...more);
  };
  const ask = async (name: string): Promise<Record<string, unknown>> => {
    const { status, body } = await agent.call(name);
    expect(status, body).to.equal(200);
    return JSON.parse(body) as Record<string, unknown>;
  };
  const ready = (...packages: string[]) =>
    agent.until(({ agent: { zygotes = [] } }) => packages.every((one) => zygotes.includes(one)));

  it('serves every function that imports a package from stems that have it, each with its own environment', async () => {
    const code = `import { ahead, table } from 'shared'; ${ANSWER}`;
    const folder = () => projects.make({ 'index.js': code }, { shared: SHARED });
    const answer = { ahead: true, rows: 1280, packages: 1 };
    expect(await deploy('first', folder(), '--env', 'SECRET=one')).to.include('beside shared@1.0.0');
    await ready('shared@1.0.0');
    expect(await ask('first')).to.deep.equal({ ...answer, secret: 'one' });
    await deploy('second', folder());
    await ready('shared@1.0.0');
    expect(await ask('second')).to.deep.equal({ ...answer, secret: null });
    const started = (frame: FeedFrame) =>
      frame.functions.every(({ sandboxes, starts }) => sandboxes.length > 0 && starts.stem > 0);
    const { functions } = await agent.until(started);
    expect(functions.map((fn) => fn.sandboxes[0]!.ahead)).to.deep.equal([['shared@1.0.0'], ['shared@1.0.0']]);
    expect(functions.map((fn) => fn.starts)).to.deep.equal(Array(2).fill({ cold: 0, stem: 1, warm: 0 }));
    const { out } = await nemo(['describe', 'second', '--agent', agent.url]);
    expect(out).to.match(/packages +shared@1\.0\.0 +[\d.]+ ?Ki/);
  });

  it('never gives such a stem to a function that does not import its package, or to another sharing group', async () => {
    await ready('shared@1.0.0');
    const look = `import { readdirSync } from 'node:fs'; export default () => readdirSync('/function').filter((name) => !['group', 'hosts', 'passwd'].includes(name)).join();`;
    await agent.deploy('without', look);
    for (let i = 0; i < 3; i++) expect((await agent.call('without')).body).to.equal('function.mjs');
    // Its own are made only once it is there, and this asks at once.
    const other = `import { ahead, table } from 'shared'; ${ANSWER}`;
    await deploy(
      'third',
      projects.make({ 'index.js': other }, { shared: SHARED }),
      '--sharing-group',
      'other',
    );
    const answer = await ask('third');
    const sandboxes = ({ functions }: FeedFrame) => functions.find(({ name }) => name === 'third')!.sandboxes;
    const [own] = sandboxes(await agent.until((frame) => sandboxes(frame).length > 0));
    expect(answer.ahead).to.equal(own!.ahead !== undefined);
  });

  it('imports packages that go together in one stem, once each was tried alone', async () => {
    const code = `import { ahead, table } from 'shared'; import { table as more } from 'extra'; console.log(more); ${ANSWER}`;
    await deploy('both', projects.make({ 'index.js': code }, { shared: SHARED, extra: bulk(90) }));
    const { agent: now } = await agent.until(({ agent: { zygotes = [] } }) =>
      zygotes.some((names) => names.split(' ').sort().join() === 'extra@1.0.0,shared@1.0.0'),
    );
    expect(now.zygotes).to.have.length.greaterThan(0);
    expect(await ask('both')).to.include({ ahead: true, packages: 2 });
  });

  for (const [what, name, code, told] of [
    ['throws', 'throws', `if (ahead) throw new Error('too early');`, /throws@.*Error: too early/],
    ['ends its process', 'exits', 'if (ahead) process.exit(3);', /exit code 3/],
    ['changes what all code shares', 'changes', 'globalThis.touched = 1;', /changes globalThis\.touched/],
    [
      'goes on by itself',
      'goes-on',
      'setInterval(() => {}, 1e6).ref();',
      /leaves something to do \(Timeout\)/,
    ],
    ['prints', 'prints', `console.log('imported');`, /prints/],
  ] as const) {
    it(`leaves a package that ${what} to the function`, async () => {
      await deployWith(name, `${SHARED}\n${code}`);
      const { message } = await agent.untilEvent(
        (event) => event.kind === 'engine' && told.test(event.message),
      );
      expect(message).to.not.equal('');
      expect(await ask(`uses-${name}`)).to.include({ ahead: false, rows: 1280 });
    });
  }

  it('has what a package printed in the log of the function that imports it', async () => {
    const { out } = await nemo(['logs', 'uses-prints', '--agent', agent.url]);
    expect(out).to.match(/imported/);
  });

  it('imports a package ahead for those only whose environment it did not look for', async () => {
    const code = `${SHARED}\nexport const level = process.env.LEVEL ?? 'none';`;
    const index = `import { ahead, level, table } from 'levels'; export default () => ({ ahead, level, rows: table.length });`;
    const folder = () => projects.make({ 'index.js': index }, { levels: code });
    await deploy('silent', folder(), '--env', 'OTHER=1');
    await ready('levels@1.0.0');
    expect(await ask('silent')).to.deep.equal({ ahead: true, level: 'none', rows: 1280 });
    await deploy('loud', folder(), '--env', 'LEVEL=high');
    await ready('levels@1.0.0');
    expect(await ask('loud')).to.deep.equal({ ahead: false, level: 'high', rows: 1280 });
  });

  it('has packages again after a restart', async () => {
    await agent.stop();
    await agent.start();
    expect(await ask('both')).to.include({ rows: 1280, packages: 2 });
  });
});
