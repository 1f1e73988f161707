/** Everything that must keep an agent from starting: a stable code, the place of the fault, nothing left behind. */

import { mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { startVictim, type Victim } from '../nf/victim.js';
import { type Ended, nemo, RealAgent } from '../support/real-agent.js';

interface Told {
  error: { code: string; message: string; hint?: string };
}

describe('an agent that cannot start', function () {
  this.timeout(60_000);
  const agents: RealAgent[] = [];
  const newAgent = (config = {}): RealAgent => {
    const agent = new RealAgent(config);
    agents.push(agent);
    return agent;
  };
  const up = async (agent: RealAgent): Promise<Ended & Told> => {
    const ended = await nemo(['up', '--json', '--config', agent.configFile]);
    const line = ended.err.split('\n').find((one) => one.startsWith('{"error"'));
    expect(line, ended.err).to.not.equal(undefined);
    expect(agent.groups()).to.deep.equal([]);
    expect(ended.err).to.not.match(/\n\s+at /);
    return { ...ended, ...(JSON.parse(line!) as Told) };
  };
  after(async () => {
    for (const agent of agents) await agent.close();
  });

  it('names the program that has its port', async () => {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const { port } = server.address() as AddressInfo;
    try {
      const { code, error } = await up(newAgent({ http: { port } }));
      expect(code).to.equal(1);
      expect(error.code).to.equal('PORT_IN_USE');
      expect(error.message).to.include(String(port));
    } finally {
      server.close();
    }
  });

  it('names a core that this machine does not have', async () => {
    const { code, error } = await up(newAgent({ cores: { functions: [999] } }));
    expect(code).to.equal(1);
    expect(error).to.include({ code: 'NO_SUCH_CORE' });
    expect(error.message).to.include('999');
  });

  it('names file, line and key of a typo in its configuration', async () => {
    const agent = newAgent();
    writeFileSync(agent.configFile, 'name: typo\nhttp:\n  prot: 80\n');
    const { code, error } = await up(agent);
    expect(code).to.equal(1);
    expect(error.code).to.equal('BAD_CONFIG');
    expect(error.message).to.include(`${agent.configFile}:3`).and.include('prot');
  });

  it('says in words what a value should have been, and why a file is not used', async () => {
    const agent = newAgent();
    for (const [text, wanted] of [
      ['http: 8080\n', 'http must be a map of keys and values'],
      ['profileDirs: /etc/nemo\n', 'profileDirs must be a list'],
    ] as const) {
      writeFileSync(agent.configFile, text);
      expect((await up(agent)).error.message).to.equal(
        `${agent.configFile}:1:${text.indexOf(':') + 3}: ${wanted}`,
      );
    }
    const { code, err } = await nemo(['up', '--config', agent.folder]);
    expect(code).to.equal(1);
    expect(err).to.include('BAD_CONFIG').and.include('it is not a file');
  });

  it('names file, line and key of a typo in a profile', async () => {
    const agent = newAgent();
    const profileDir = join(agent.folder, 'profiles');
    mkdirSync(profileDir);
    const file = join(profileDir, 'mine.yaml');
    writeFileSync(
      file,
      'name: mine\nmatch: { process: ^mine$ }\nmode: sleepy\npacketThreads: main\nsloP99Us: 500\nlatency: { source: none }\n',
    );
    agent.configure({ discovery: true, profileDirs: [profileDir] });
    const { code, error } = await up(agent);
    expect(code).to.equal(1);
    expect(error.code).to.equal('BAD_PROFILE');
    expect(error.message).to.include(`${file}:3`).and.include('mode');
  });

  describe('where an entry of its configuration matches two processes', () => {
    const title = `nft-twice-${process.pid}`;
    const victims: Victim[] = [];
    const startBoth = async (): Promise<string> => {
      while (victims.length < 2) victims.push(await startVictim(title));
      return victims
        .map(({ pid }) => pid)
        .sort((a, b) => a - b)
        .join(' and ');
    };
    const latency = { source: 'tap' as const, ingress: 'n0', egress: 'n1', invariant: 'ipv4-id' as const };
    const entry = {
      profile: 'firewall',
      match: { process: `^${title.slice(0, 15)}` },
      overrides: { latency },
    };
    afterEach(async () => {
      for (const victim of victims.splice(0)) await victim.end();
    });

    it('names both', async () => {
      const both = await startBoth();
      const { code, error } = await up(newAgent({ nfs: [entry] }));
      expect(code).to.equal(1);
      expect(error.code).to.equal('BAD_CONFIG');
      expect(error.message).to.include(both);
    });

    it('but one that runs when the second appears goes on, says so and leaves both alone', async () => {
      const agent = await newAgent({ nfs: [entry] }).start();
      const both = await startBoth();
      const told = await agent.untilEvent((event) => event.message.includes(both));
      expect([told.kind, told.message.includes('left alone')]).to.deep.equal(['warning', true]);
      expect((await agent.status()).nfs).to.deep.equal([]);
    });
  });

  it('does not start beside another agent of its name, which goes on', async () => {
    // At SCHED_IDLE the call would wait for whoever else uses the machine.
    const agent = await newAgent({ policy: 'naive' }).start();
    await agent.deploy('good', 'export default () => "yes";');
    const second = await nemo(['up', '--json', '--config', agent.configFile]);
    expect(second.code).to.equal(1);
    expect(second.err).to.include('"AGENT_RUNNING"');
    expect(await agent.call('good')).to.include({ status: 200, body: 'yes' });
  });
});
