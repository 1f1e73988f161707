import { expect } from 'chai';
import { ensurePackages, missingPackages } from '../../src/host/packages.js';
import { NemoError } from '../../src/model/errors.js';

describe('packages', () => {
  it('says and does nothing when nothing is missing', async () => {
    const lines: string[] = [];
    expect(
      await ensurePackages(['util-linux', 'dpkg'], { progress: (line) => lines.push(line) }),
    ).to.deep.equal([]);
    expect(lines).to.deep.equal([]);
  });

  it('finds out which are missing', async () => {
    expect(await missingPackages(['util-linux', 'nemo-no-such-package', 'dpkg'])).to.deep.equal([
      'nemo-no-such-package',
    ]);
  });

  it('prints the line to run when not root', async () => {
    process.seteuid!(65_534);
    try {
      const error = await ensurePackages(['nemo-no-such-package']).catch((thrown: unknown) => thrown);
      expect(error).to.be.instanceOf(NemoError);
      expect((error as NemoError).code).to.equal('MISSING_PACKAGE');
      expect((error as NemoError).hint).to.match(/apt-get install .*nemo-no-such-package/);
    } finally {
      process.seteuid!(0);
    }
  });
});
