/**
 * Reported: what whoever starts an agent has set reaches the programs that it starts (rkt/rkt#3567 and
 * opencontainers/runc#1359: a umask; moby/moby#38814: descriptors without limit, which some programs close one by one;
 * berkeley-dsep-infra/datahub#1636: core dumps; moby/moby#1536: secrets in the list of processes), and what ends beside
 * it ends it (containerd/containerd#580: the reader of its log; mastra-ai/mastra#13973: the terminal).
 */

import { readdirSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { RealAgent } from '../support/real-agent.js';

const LOOK = `import { readFileSync } from 'node:fs';
const limits = readFileSync('/proc/self/limits', 'utf8');
const limit = (name) => limits.split('\\n').find((line) => line.startsWith(name)).slice(name.length).trim().split(/ +/).map(Number);
export default async (event) => {
  if (event === 'wait') await new Promise((resolve) => setTimeout(resolve, 300));
  return { env: process.env, umask: process.umask(), files: limit('Max open files'), core: limit('Max core file size') };
};`;
const SECRET = 'hush-4711-hush';

describe('report: an agent in odd surroundings', function () {
  this.timeout(60_000);
  const agent = new RealAgent({ policy: 'naive' });
  before(async () => {
    const surroundings =
      'umask 077; ulimit -n 1048576 2>/dev/null; ulimit -c unlimited 2>/dev/null; export OF_THE_AGENT=x';
    await agent.start([], surroundings);
    expect((await agent.deploy('look', LOOK, { env: { SECRET } })).status).to.equal(201);
  });
  after(() => agent.close());

  it('gives functions none of them', async () => {
    const { status, body } = await agent.call('look');
    expect(status, body).to.equal(200);
    const seen = JSON.parse(body);
    expect(seen.env).to.include({ SECRET }).and.not.have.property('OF_THE_AGENT');
    expect(seen.umask).to.equal(0o022);
    expect(seen.files[1]).to.be.within(256, 65_536);
    expect(seen.core[1]).to.be.below(4_096);
  });

  it('shows no secret in the list of processes', () => {
    const shown = readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name) && argumentsOf(name).includes(SECRET))
      .map(argumentsOf);
    expect(shown).to.deep.equal([]);
  });

  it('goes on when nobody reads its log, and ends in order when its terminal is closed', async () => {
    agent.stopReading();
    // Each of them is told on the log.
    await agent.deploy('broken', 'throw new Error("told"); export default () => 1;');
    expect((await agent.call('broken')).code).to.equal('FUNCTION_LOAD');
    const running = agent.call('look', 'wait');
    await agent.until(({ functions }) => functions.some(({ inFlight }) => inFlight === 1));
    expect(await agent.end('SIGHUP')).to.equal(0);
    expect((await running).status).to.equal(200);
  });
});

function argumentsOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}
