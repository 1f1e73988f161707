import { expect } from 'chai';
import { sloFor, withSlo } from '../../bench/slo.js';

describe('the SLO of a bench', () => {
  it('is the profile’s while the NF alone holds that with ease, else twice what it has alone', () => {
    expect(sloFor(['firewall'], [90, 100, 80])).to.equal(1_000);
    expect(sloFor(['firewall'], [9_010, 700, 20_000])).to.equal(18_100);
    expect(sloFor(['testpmd'], [14])).to.equal(500);
    expect(sloFor(['nat', 'nginx'], [14])).to.equal(1_000);
  });

  it('goes to every NF of the bed, beside what the bed says of it', () => {
    const nfs = [{ profile: 'nftables', pid: 7, overrides: { cores: [1] } }];
    expect(withSlo({ nfs }, ['nftables'], 300).nfs).to.deep.equal([
      { profile: 'nftables', pid: 7, overrides: { cores: [1], sloP99Us: 300 } },
    ]);
    expect(withSlo({}, ['nat', 'ovs'], 300).nfs).to.deep.equal([
      { profile: 'nat', overrides: { sloP99Us: 300 } },
      { profile: 'ovs-vswitchd', overrides: { sloP99Us: 300 } },
    ]);
  });
});
