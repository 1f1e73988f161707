import { expect } from 'chai';
import { ensurePackages } from '../../../src/host/packages.js';
import { CGROUP_CHECKS } from '../../support/cgroup-checks.js';
import { type GuestResult, runV2Guest } from '../../support/v2-machine.js';
import { V2_TITLES } from '../../support/v2-titles.js';

describe('cgroup driver on a v2 kernel in a virtual machine', () => {
  let results: GuestResult[] = [];

  before(async function () {
    if (process.arch !== 'x64') this.skip();
    this.timeout(240_000);
    await ensurePackages(['qemu-system-x86'], { progress: (line) => process.stderr.write(`    ${line}\n`) });
    const guest = await runV2Guest();
    results = guest.results;
    if (!guest.ended) {
      const tail = guest.console.slice(-2_000);
      throw new Error(`the guest stopped after ${results.length} checks; the end of its console:\n${tail}`);
    }
  });

  for (const title of [...CGROUP_CHECKS.map((check) => check.title), ...Object.values(V2_TITLES)]) {
    it(title, () => {
      const result = results.find((candidate) => candidate.title === title);
      expect(result, 'what the guest says of this check').to.include({ error: null });
    });
  }
});
