import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { startVictim } from '../nf/victim.js';

const CHILD = fileURLToPath(new URL('./command-child.js', import.meta.url));
/** Nobody listens on port 1. */
const NO_AGENT = ['--agent', 'http://127.0.0.1:1'];

function nemo(...args: string[]): Promise<{ code: number | null; out: string; err: string }> {
  const child = spawn(process.execPath, [CHILD, 'nf', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const result = { code: null as number | null, out: '', err: '' };
  child.stdout.on('data', (text) => (result.out += text));
  child.stderr.on('data', (text) => (result.err += text));
  return new Promise((resolve) => child.once('close', (code) => resolve({ ...result, code })));
}

describe('nemo nf', () => {
  it('ls without an agent looks for itself, and says so', async () => {
    const victim = await startVictim('nemo-nf-router');
    try {
      const plain = await nemo('ls', ...NO_AGENT);
      expect(plain.code).to.equal(0);
      expect(plain.err).to.match(/no agent answers at http:\/\/127\.0\.0\.1:1/);
      expect(plain.out).to.match(new RegExp(`^router-${victim.pid} +${victim.pid} +sleep +any `, 'm'));
      const { source, nfs } = JSON.parse((await nemo('ls', '--json', ...NO_AGENT)).out);
      expect(source).to.equal('discovery');
      expect(nfs.map((nf: { pid: number }) => nf.pid)).to.include(victim.pid);
    } finally {
      await victim.end();
    }
  });

  it('ls with an agent shows what that agent says', async () => {
    const nf = {
      ...{ id: 'nat-7', profile: 'nat', pid: 7, state: 'running', mode: 'sleep', cores: [1, 2, 3] },
      harvest: { how: 'sleep' },
      threads: [{ tid: 7, name: 'nat', core: 1, packet: true }],
      ...{ protection: 'fifo:50', latencySource: 'reported', p50Us: 12.4, p99Us: 1200, p999Us: null },
      ...{ sloUs: 1000, sloHeld: false, busyRatio: 0.25, spareRatio: 0.75 },
      telemetry: { packetsPerS: 50_001.2, dropsPerS: null, busyRatio: null, drops: 0, fault: 'hangs' },
    };
    const agent: Server = createServer((request, response) => {
      expect(request.url).to.equal('/v1/status');
      response.setHeader('content-type', 'application/json').end(JSON.stringify({ nfs: [nf] }));
    });
    await new Promise<void>((resolve) => agent.listen(0, '127.0.0.1', resolve));
    try {
      const address = `http://127.0.0.1:${(agent.address() as AddressInfo).port}`;
      const { code, out, err } = await nemo('ls', '--agent', address);
      expect([code, err]).to.deep.equal([0, '']);
      expect(out).to.match(/^nat-7 +7 +sleep +1-3 +1 +1 +1000 +12 +1200 ! +25% +75% +sleep +50001 +-$/m);
      const json = JSON.parse((await nemo('ls', '--json', '--agent', address)).out);
      expect(json).to.deep.equal({ source: 'agent', nfs: [nf] });
    } finally {
      agent.close();
    }
  });

  it('profiles lists those that come with NEMO and one’s own; a typo ends it with the place', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'nemo-nf-'));
    try {
      const file = join(folder, 'mine.yaml');
      writeFileSync(file, 'name: mine\nmatch:\n  process: ^mine$\nmode: poll\nsloP99Us: 77\n');
      const good = await nemo('profiles', '--profiles', folder);
      expect(good.out)
        .to.match(/^firewall +sleep +1000 +reported +fifo:50 /m)
        .and.to.match(/^mine +poll +77 /m);
      writeFileSync(file, 'name: mine\nmatch:\n  proces: ^mine$\nmode: poll\nsloP99Us: 77\n');
      const bad = await nemo('profiles', '--profiles', folder);
      expect(bad.code).to.equal(1);
      const { error } = JSON.parse(bad.err);
      expect(error.code).to.equal('BAD_PROFILE');
      expect(error.message).to.include(`${file}:3:3: unknown key "proces"`);
      expect(error.hint).to.equal('did you mean "process"?');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
