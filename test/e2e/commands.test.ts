/** The commands as a user types them, each a process of its own, against a real agent beside a real NF. */

import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import type { FeedFrame } from '../../src/model/feed.js';
import type { HostInventory } from '../../src/telemetry/inventory.js';
import { type Ended, nemo, RealAgent } from '../support/real-agent.js';

describe('nemo against a real agent', function () {
  this.timeout(60_000);
  let bed: Testbed;
  let agent: RealAgent;
  const run = (args: string[], stdin = ''): Promise<Ended> => nemo(args, { NEMO_AGENT: agent.url }, stdin);

  before(async () => {
    bed = await createTestbed({ nfProfile: 'firewall', mode: 'sleep', cpu: 1, housekeepingCpu: 0 });
    // Functions at default scheduling: at SCHED_IDLE a call would wait for whoever else uses the machine.
    agent = await new RealAgent({
      policy: 'naive',
      cores: { functions: [1], housekeeping: [0] },
      nfs: [{ profile: 'firewall', match: { args: '^nemo-nf-firewall( |$)' } }],
    }).start();
    await agent.untilEvent((event) => event.kind === 'nf-found');
    await bed.traffic.run({ kind: 'rate', packetsPerS: 1_000 });
  });
  after(async () => {
    await agent.close();
    await bed.close();
  });

  it('deploys, calls, lists, describes, shows logs and removes', async () => {
    const file = join(agent.folder, 'greet.ts');
    const code =
      'export default (body: Buffer) => { console.log("greeting " + body); return "hello " + body; };';
    writeFileSync(file, code);
    expect(await run(['deploy', file, '--memory', '64Mi', '--timeout', '20s'])).to.include({ code: 0 });
    const answer = await run(['invoke', 'greet', '--data', 'box']);
    expect(answer).to.include({ code: 0, out: 'hello box' });
    const piped = await run(['invoke', 'greet', '--data', '-'], 'pipe');
    expect(piped.out, piped.err).to.equal('hello pipe');
    const list = await run(['ls', '--json']);
    expect(JSON.parse(list.out).functions).to.have.length(1);
    expect((await run(['describe', 'greet'])).out)
      .to.include('64Mi')
      .and.include('2 answered');
    expect((await run(['logs', 'greet'])).out)
      .to.include('greeting box')
      .and.include('greeting pipe');
    expect(await run(['rm', 'greet'])).to.include({ code: 0 });
    const gone = await run(['invoke', 'greet', '--json']);
    expect(gone.code).to.equal(1);
    expect(gone.err).to.include('NOT_FOUND');
  });

  it('shows a syntax error with its place and exits with 1', async () => {
    const file = join(agent.folder, 'broken.js');
    writeFileSync(file, 'export default () => {\n  return (;\n};\n');
    const { code, err } = await run(['deploy', file]);
    expect(code).to.equal(1);
    expect(err)
      .to.match(/broken\.js:2:/)
      .and.include('BAD_FUNCTION');
  });

  it('lists the NFs of the agent with their latency', async () => {
    await agent.until((frame) => typeof frame.nfs[0]?.p99Us === 'number');
    const { code, out } = await run(['nf', 'ls', '--json']);
    expect(code).to.equal(0);
    expect(out).to.include('"firewall"').and.include(String(bed.nfPid));
  });

  it('prints one frame of the live view for scripts', async () => {
    const { code, out } = await run(['top', '--once', '--json']);
    expect(code).to.equal(0);
    const frame = JSON.parse(out) as FeedFrame;
    expect(frame.schema).to.match(/^nemo\.feed\//);
    expect(frame.cores.find((core) => core.core === 1)).to.include({ role: 'nf' });
    expect((await run(['top', '--once'])).out).to.include('firewall');
  });

  it('describes the machine', async () => {
    const { code, out } = await run(['describe', '--host', '--json']);
    expect(code).to.equal(0);
    const host = JSON.parse(out) as HostInventory;
    expect(host).to.include({ schema: 'nemo.host/1' });
    expect(host.cpu.cores).to.be.at.least(1);
    expect(host.memory.totalBytes).to.be.greaterThan(1e8);
    expect(host.interfaces.map((one) => one.name)).to.include('lo');
    expect((await run(['describe', '--host'])).out).to.match(/^processor {4}\S/m);
  });

  it('says which address does not answer', async () => {
    const { code, err } = await nemo(['ls'], { NEMO_AGENT: 'http://127.0.0.1:9' });
    expect(code).to.equal(1);
    expect(err).to.include('AGENT_UNREACHABLE').and.include('127.0.0.1:9');
  });
});
