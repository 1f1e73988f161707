/** What an agent asked NFs to do is put back later when it cannot be put back now. */

import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { readSettings, settingsPath, writeSettings } from '../../src/nf/settings-journal.js';
import { SleepControls } from '../../src/nf/sleep-control.js';

describe('settings of NFs that a dead agent left', () => {
  let dir: string;
  let journal: string;
  const path = process.env.PATH;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'nemo-settings-'));
    journal = settingsPath(dir);
    // Two databases would take two Open vSwitches: this one answers for the first, and for the second once it is there.
    const vsctl = join(dir, 'ovs-vsctl');
    writeFileSync(
      vsctl,
      `#!/bin/sh\ncase "$*" in */late*) test -e ${dir}/late || exit 1;; esac\necho "$*" >> ${dir}/asked\n`,
    );
    chmodSync(vsctl, 0o755);
    process.env.PATH = `${dir}:${path}`;
  });
  afterEach(() => {
    process.env.PATH = path;
    rmSync(dir, { recursive: true });
  });

  it('are kept while they cannot be put back, under the name of this agent, and put back at the next chance', async () => {
    const late = { kind: 'ovs-pmd-maxsleep', database: `${dir}/late`, oldValue: 0 } as const;
    writeSettings(journal, [late, { ...late, database: '/run/early', oldValue: null }]);
    const controls = await SleepControls.start(dir);
    // One that fails does not hold up the other.
    expect(readFileSync(join(dir, 'asked'), 'utf8')).to.equal(
      '--no-wait --timeout=3 --db=unix:/run/early remove Open_vSwitch . other_config pmd-maxsleep\n',
    );
    expect(readSettings(journal)).to.deep.equal([late]);
    expect(readFileSync(journal, 'utf8')).to.match(new RegExp(`^\\{"agent":${process.pid},`));
    await controls.release('some NF');
    expect(existsSync(journal)).to.equal(true);
    writeFileSync(join(dir, 'late'), '');
    await controls.close();
    expect(existsSync(journal)).to.equal(false);
    expect(readFileSync(join(dir, 'asked'), 'utf8')).to.include(
      'set Open_vSwitch . other_config:pmd-maxsleep=0\n',
    );
  });
});
