import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { inTheBox, WORLD } from '../support/egress-world.js';

const CHILD = fileURLToPath(new URL('./egress-child.js', import.meta.url));

describe('the network of a function', function () {
  this.timeout(60_000);

  it('reaches what its allow-list names, and nothing else', async () => {
    const hosts = `127.0.0.1 localhost\n${WORLD} service.test\n`;
    expect(await inTheBox(CHILD, hosts)).to.deep.equal({
      byName: 'you said hello',
      byNetwork: 'you said hello',
      manyBytes: 1_000_009,
      unknownName: 'ECONNRESET',
      otherPort: 'ECONNREFUSED',
      ownLoopback: 'ECONNRESET',
      otherAddress: 'ENETUNREACH',
      notListedName: 'ENOTFOUND',
      openedByOperator: 'you said hello',
      withoutList: 'ENETUNREACH',
      withoutListLocal: 'ECONNREFUSED',
      waiting: 'connected',
    });
  });
});
