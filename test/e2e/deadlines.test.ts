/** A call that goes on for ever is ended at its deadline in every engine, and so is one beside it, each by itself. */

import { expect } from 'chai';
import { RealAgent } from '../support/real-agent.js';
import { ENDLESS } from '../support/wasm-modules.js';

const base64 = (code: string | Buffer): string => Buffer.from(code).toString('base64');
const FOR_EVER = base64('export default () => { for (;;); };');
const FUNCTIONS = {
  process: { codeBase64: FOR_EVER },
  isolate: { codeBase64: FOR_EVER, engine: 'isolate' },
  wasm: { codeBase64: base64(ENDLESS), engine: 'wasm', filename: 'endless.wasm' },
  program: { codeBase64: base64('#!/bin/sh\nexec sleep 1000\n'), exec: 'stdio', filename: 'endless' },
};

describe('calls that go on for ever', function () {
  this.timeout(60_000);
  let agent: RealAgent;
  before(async () => {
    agent = await new RealAgent({ policy: 'naive' }).start();
  });
  after(() => agent.close());

  for (const [name, input] of Object.entries(FUNCTIONS)) {
    it(`are told so at their deadline, each by itself: ${name}`, async () => {
      const deployed = await agent.fetch(`/v1/functions/${name}`, {
        method: 'PUT',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ ...input, timeout: '200ms' }),
      });
      expect(deployed.status, await deployed.text()).to.equal(201);
      const replies = await Promise.all([agent.call(name), agent.call(name)]);
      expect(replies.map(({ code }) => code)).to.deep.equal(['FUNCTION_TIMEOUT', 'FUNCTION_TIMEOUT']);
    });
  }
});
