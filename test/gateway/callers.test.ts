import { expect } from 'chai';
import { networkOf } from '../../src/gateway/callers.js';

describe('connections of one address', () => {
  it('are those of its whole network for IPv6, and of itself for IPv4, however it is written', () => {
    for (const [address, network] of [
      ['10.1.2.3', '10.1.2.3'],
      ['::ffff:10.1.2.3', '10.1.2.3'],
      ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
      ['2001:db8:1:2::9', '2001:db8:1:2::/64'],
      ['2001:db8::9', '2001:db8:0:0::/64'],
      ['fe80::1', 'fe80:0:0:0::/64'],
      ['::1', '0:0:0:0::/64'],
      ['', ''],
    ] as const) {
      expect(networkOf(address), address).to.equal(network);
    }
  });
});
