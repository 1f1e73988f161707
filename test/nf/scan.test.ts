import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { createTestbed, type Testbed } from '../../src/lab/testbed.js';
import { discover } from '../../src/nf/discovery.js';
import { loadProfiles, parseProfile } from '../../src/nf/profiles.js';
import { scanForNfs } from '../../src/nf/scan.js';

describe('nemo nf scan', () => {
  const core = cpus().length - 1;
  let bed: Testbed | undefined;
  afterEach(() => bed?.close());

  it('proposes a profile for a polling NF that no profile knows, and the proposal finds that NF', async function () {
    if (core < 1) this.skip();
    bed = await createTestbed({ nfProfile: 'router', mode: 'poll', cpu: core, housekeepingCpu: 0 });
    const { nfPid } = bed;
    const proposal = (await scanForNfs(new Set())).find(({ pid }) => pid === nfPid)!;
    expect(proposal.signs.join('; ')).to.match(/packet sockets.*polling/);
    const { profile } = parseProfile(proposal.yaml, 'proposal');
    expect(profile.mode).to.equal('poll');
    const folder = mkdtempSync(join(tmpdir(), 'nemo-scan-'));
    try {
      writeFileSync(join(folder, 'mine.yaml'), proposal.yaml);
      const found = discover(loadProfiles([folder])).find((nf) => nf.pid === nfPid)!;
      expect(found.cores).to.deep.equal([core]);
    } finally {
      rmSync(folder, { recursive: true });
    }
    expect((await scanForNfs(new Set([nfPid]))).some(({ pid }) => pid === nfPid)).to.equal(false);
  });
});
