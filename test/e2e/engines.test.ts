/** Functions of every engine in one real agent: deployed, called, pinned, accounted, ended on time. */

import { expect } from 'chai';
import { RealAgent } from '../support/real-agent.js';

describe('an agent with functions of several engines', function () {
  this.timeout(60_000);
  let agent: RealAgent;
  const box = async (name: string) => (await agent.status()).functions.find((fn) => fn.name === name)!;

  before(async () => {
    agent = await new RealAgent({ pool: { stems: 1, warmPerFunction: 1 } }).start();
    await agent.deploy('plain', 'export default () => "process";');
  });
  after(() => agent.close());

  describe('isolate', () => {
    it('serves, on its core, from stems of its own', async () => {
      const code = 'export default (event) => ({ got: event });';
      const reply = await agent.deploy('iso', code, { engine: 'isolate', owner: 'me' });
      expect(reply.status).to.equal(201);
      expect(await reply.json()).to.include({ engine: 'isolate', owner: 'me' });
      expect(await agent.call('iso', '1')).to.include({ status: 200, body: '{"got":"1"}' });
      expect(await agent.call('plain')).to.include({ status: 200 });
      const { engine, sandboxes } = await box('iso');
      expect(engine).to.equal('isolate');
      expect(sandboxes[0]!.core).to.equal((await box('plain')).sandboxes[0]!.core);
    });

    it('is ended by its timeout, and the next call is served', async () => {
      const code = 'export default (event) => { while (event === "1"); return "done"; };';
      await agent.deploy('endless', code, { engine: 'isolate', timeout: '300ms' });
      expect(await agent.call('endless', '1')).to.include({ status: 504, code: 'FUNCTION_TIMEOUT' });
      expect(await agent.call('endless', '2')).to.include({ status: 200, body: 'done' });
    });
  });

  it('refuses an unknown engine, and what an engine cannot run, at deploy', async () => {
    const code = 'export default () => 1;';
    const unknown = await agent.deploy('f', code, { engine: 'nothing' });
    expect([unknown.status, await unknown.text()].join()).to.match(/^400,.*process, isolate/);
    const fs = await agent.deploy('f', `import fs from 'node:fs'; console.log(fs); ${code}`, {
      engine: 'isolate',
    });
    expect([fs.status, await fs.text()].join()).to.match(/^400,.*BAD_FUNCTION.*node:fs/);
  });
});
