import { expect } from 'chai';
import { addLocalRoute, ipv4Addresses, routeTo } from '../../src/linux/netlink.js';
import { createNamespace, insideNamespace, type Namespace } from '../../src/linux/netns.js';

describe('rtnetlink', () => {
  const kindOf = (address: string) => routeTo(address).kind;
  let there: Namespace;

  before(async () => {
    there = await createNamespace();
    await there.run('ip', ['link', 'add', 'd0', 'type', 'veth', 'peer', 'name', 'd1']);
    await there.run('ip', ['address', 'add', '192.0.2.1/24', 'brd', '192.0.2.255', 'dev', 'd0']);
  });
  after(() => there.close());

  it('lists addresses, also of an interface that is down', () => {
    expect(insideNamespace(there.path, ipv4Addresses)).to.have.members(['127.0.0.1', '192.0.2.1']);
  });

  it('says what the kernel would do with a packet', async () => {
    await there.run('ip', ['link', 'set', 'd1', 'up']);
    await there.run('ip', ['link', 'set', 'd0', 'up']);
    const kinds = insideNamespace(there.path, () =>
      ['192.0.2.1', '192.0.2.255', '192.0.2.7', '198.51.100.1', '127.9.9.9'].map(kindOf),
    );
    expect(kinds).to.deep.equal(['local', 'broadcast', 'unicast', 'none', 'local']);
  });

  it('says whether another router takes it on', async () => {
    await there.run('ip', ['route', 'add', '203.0.113.0/24', 'via', '192.0.2.7']);
    const gateways = insideNamespace(there.path, () =>
      ['203.0.113.5', '192.0.2.7', '198.51.100.1'].map((address) => routeTo(address).gateway),
    );
    expect(gateways).to.deep.equal([true, false, false]);
  });

  it('makes a network local, of any length, twice without complaint', () => {
    const kinds = insideNamespace(there.path, () => {
      for (const bits of [32, 25, 17, 9, 8, 8]) addLocalRoute('10.200.130.77', bits);
      return ['10.200.130.77', '10.1.2.3', '11.0.0.1'].map(kindOf);
    });
    expect(kinds).to.deep.equal(['local', 'local', 'none']);
  });
});
