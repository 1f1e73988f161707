/** What an agent asked NFs to do is put back later when it cannot be put back now. */

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { SleepControls, settingsPath } from '../../src/nf/sleep-control.js';

describe('settings of NFs that a dead agent left', () => {
  let dir: string;
  beforeEach(() => {
    dir = mkdtempSync(join(tmpdir(), 'nemo-settings-'));
  });
  afterEach(() => rmSync(dir, { recursive: true }));

  it('are kept while they cannot be put back, under the name of this agent, and put back at the next chance', async () => {
    const script = settingsPath(dir);
    const answers = join(dir, 'answers');
    const done = join(dir, 'done');
    writeFileSync(script, `#!/bin/sh\n# agent 1\ntest -e '${answers}'\ntouch '${done}'\n`);
    const controls = await SleepControls.start(dir);
    // One that fails does not hold up the other.
    expect(existsSync(done)).to.equal(true);
    expect(readFileSync(script, 'utf8')).to.equal(
      `#!/bin/sh\n# agent ${process.pid}\ntest -e '${answers}'\n`,
    );
    await controls.release('some NF');
    expect(existsSync(script)).to.equal(true);
    writeFileSync(answers, '');
    await controls.close();
    expect(existsSync(script)).to.equal(false);
  });
});
