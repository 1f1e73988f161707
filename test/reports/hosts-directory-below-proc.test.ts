/** An agent whose stateDir was to be made where nothing can be never started, never ended, and used a core: below /proc. */

import { expect } from 'chai';
import { takeDirectory } from '../../src/linux/owned-directory.js';

describe('report: a directory that cannot be made', () => {
  it('is refused at once, by name', () => {
    expect(() => takeDirectory({ what: 'stateDir', path: '/proc/nemo/state', mode: 0o750 }))
      .to.throw(/stateDir \/proc\/nemo\/state cannot be made: ENOENT/)
      .with.property('code', 'BAD_CONFIG');
  });
});
