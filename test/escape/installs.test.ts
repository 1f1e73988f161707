/** What an installation of packages that is killed leaves behind: nothing that keeps the host's services from starting. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { accessSync, constants, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { until } from '../support/waiting.js';

const HOLDER = fileURLToPath(new URL('./support/policy-holder.js', import.meta.url));
/** Asks the policy, as invoke-rc.d does, says what it answered, and waits to be allowed to ask again. */
const INSTALL = `ask() { "$1"; echo $? > "$2.new"; mv "$2.new" "$2"; }
ask "$1" "$2/first"; while [ ! -e "$2/go" ]; do sleep 0.05; done; ask "$1" "$2/second"`;

const isExecutable = (path: string): boolean => {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
};

describe('an installation of packages', () => {
  let folder: string;
  let policy: string;
  beforeEach(() => {
    folder = mkdtempSync('/var/tmp/nemo-install-');
    policy = join(folder, 'policy-rc.d');
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));
  const start = () => spawn(process.execPath, [HOLDER, policy, 'sh', '-c', INSTALL, 'sh', policy, folder]);
  const answer = async (name: string): Promise<string> => {
    await until(() => existsSync(join(folder, name)));
    return readFileSync(join(folder, name), 'utf8').trim();
  };

  it('forbids services to start, and nobody else sees that, whatever becomes of who began it', async () => {
    const installing = start();
    expect(await answer('first')).to.equal('101');
    expect(isExecutable(policy)).to.equal(false);
    installing.kill('SIGKILL');
    await once(installing, 'exit');
    expect(isExecutable(policy)).to.equal(false);
    // The package manager goes on, and must not start servers because its starter is gone.
    writeFileSync(join(folder, 'go'), '');
    expect(await answer('second')).to.equal('101');
  });

  it('leaves nothing at all when it ends by itself, nor after the next one', async () => {
    const killed = start();
    await answer('first');
    killed.kill('SIGKILL');
    writeFileSync(join(folder, 'go'), '');
    await answer('second');
    expect(await once(start(), 'exit')).to.deep.equal([0, null]);
    expect(existsSync(policy)).to.equal(false);
  });

  it('leaves the policy of an administrator alone', async () => {
    writeFileSync(policy, '#!/bin/sh\nexit 104\n', { mode: 0o755 });
    writeFileSync(join(folder, 'go'), '');
    expect(await once(start(), 'exit')).to.deep.equal([0, null]);
    expect(await answer('first')).to.equal('104');
    expect(readFileSync(policy, 'utf8')).to.include('exit 104');
  });
});
