/** Functions of every engine in one real agent: deployed, called, pinned, accounted, ended on time. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { nemo, RealAgent } from '../support/real-agent.js';
import { ECHO_COMMAND } from '../support/wasm-modules.js';

describe('an agent with functions of several engines', function () {
  this.timeout(60_000);
  let agent: RealAgent;
  const box = async (name: string) => (await agent.status()).functions.find((fn) => fn.name === name)!;

  before(async () => {
    agent = await new RealAgent({ policy: 'naive' }).start();
    await agent.deploy('plain', 'export default () => "process";');
  });
  after(() => agent.close());

  describe('isolate', () => {
    it('serves, on its core, from stems of its own', async () => {
      const code = 'export default (event) => ({ got: event });';
      const reply = await agent.deploy('iso', code, { engine: 'isolate', sharingGroup: 'me' });
      expect(reply.status).to.equal(201);
      expect(await reply.json()).to.include({ engine: 'isolate', sharingGroup: 'me' });
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

  it('runs a WebAssembly module and a program, deployed from their files', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nemo-engines-'));
    try {
      writeFileSync(join(folder, 'echo.wasm'), ECHO_COMMAND);
      writeFileSync(join(folder, 'shout'), '#!/bin/sh\ntr a-z A-Z');
      for (const args of [['echo.wasm'], ['shout', '--exec']]) {
        const { code, err } = await nemo([
          'deploy',
          join(folder, args[0]!),
          ...args.slice(1),
          '--agent',
          agent.url,
        ]);
        expect(code, err).to.equal(0);
      }
      expect(await agent.call('echo', 'abc')).to.include({ status: 200, body: 'abc' });
      expect(await agent.call('shout', 'abc')).to.include({ status: 200, body: 'ABC' });
      expect((await box('echo')).engine).to.equal('wasm');
    } finally {
      rmSync(folder, { recursive: true });
    }
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
