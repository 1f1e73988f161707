/** What holds for every command line, whatever the command. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { expect } from 'chai';
import { CLI, nemo } from '../support/real-agent.js';

describe('a command line', () => {
  it('ends quietly when its reader leaves, as in `nemo ... | head`', async () => {
    for (const args of [['--help'], ['nf', 'profiles', '--json'], ['bench', '--list']]) {
      const child = spawn(process.execPath, [CLI, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
      let err = '';
      child.stderr.on('data', (text) => (err += text));
      child.stdout.destroy();
      const [code] = await once(child, 'close');
      expect([code, err], args.join(' ')).to.deep.equal([0, '']);
    }
  });

  it('that is wrong ends with 1 and says where help is', async () => {
    for (const args of [
      ['frobnicate'],
      ['ls', '--agnet', 'x'],
      ['deploy'],
      ['rm'],
      ['nf', 'run', 'firewall'],
    ]) {
      const { code, err } = await nemo(args);
      expect(code, args.join(' ')).to.equal(1);
      expect(err)
        .to.match(/^error: /)
        .and.contain('--help');
    }
  });

  it('whose --json names a file tells errors in words', async () => {
    const { code, err } = await nemo(['demo', '--json', 'x.json', '--seconds', 'many']);
    expect(code).to.equal(1);
    expect(err).to.match(/^nemo: --seconds must be a number from 0 up, not "many" \[BAD_CONFIG\]/);
  });
});
