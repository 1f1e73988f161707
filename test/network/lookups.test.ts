import { expect } from 'chai';
import { fromHosts, Lookups, type Resolved } from '../../src/network/lookups.js';
import { EGRESS } from '../../src/tunables/index.js';

/** Name servers that answer when the test says so. */
class Servers {
  asked: string[] = [];
  private readonly answers: Array<(found: Resolved[]) => void> = [];
  readonly resolve = (name: string): Promise<Resolved[]> => {
    this.asked.push(name);
    return new Promise((answer) => this.answers.push(answer));
  };
  answer(ttlS: number, ...addresses: string[]): void {
    this.answers.shift()!(addresses.map((address) => ({ address, ttlS })));
  }
}

describe('look-ups for a function', () => {
  let nowMs = 0;
  const turn = () => new Promise((resolve) => setImmediate(resolve));

  it('ask once for all connections to a name, and again when the answer is too old', async () => {
    const servers = new Servers();
    const lookups = new Lookups(servers.resolve, () => nowMs);
    const asked = [lookups.addresses('a.test'), lookups.addresses('a.test')];
    servers.answer(10, '192.0.2.1');
    expect(await Promise.all(asked)).to.deep.equal([['192.0.2.1'], ['192.0.2.1']]);
    nowMs += 9_000;
    await lookups.addresses('a.test');
    expect(servers.asked).to.have.length(1);
    nowMs += 2_000;
    void lookups.addresses('a.test');
    expect(servers.asked).to.have.length(2);
  });

  it('keep a few addresses of an answer that has thousands: each is looked at for every connection', async () => {
    const servers = new Servers();
    const lookups = new Lookups(servers.resolve, () => nowMs);
    const asked = lookups.addresses('many.test');
    servers.answer(10, ...Array.from({ length: 4_000 }, (_, i) => `192.0.${i >> 8}.${i & 255}`));
    expect(await asked).to.have.length(EGRESS.addressesMax);
  });

  it('keep an answer for a while, although it says not to, and never for long', async () => {
    const servers = new Servers();
    const lookups = new Lookups(servers.resolve, () => nowMs);
    for (const [ttlS, keptMs] of [
      [0, EGRESS.answerMinMs],
      [86_400, EGRESS.answerMaxMs],
    ] as const) {
      const before = servers.asked.length;
      const asked = lookups.addresses('a.test');
      servers.answer(ttlS, '192.0.2.1');
      await asked;
      nowMs += keptMs - 1;
      await lookups.addresses('a.test');
      expect(servers.asked).to.have.length(before + 1);
      nowMs += 1;
    }
  });

  it('keep a failure too', async () => {
    let asked = 0;
    const lookups = new Lookups(
      () => {
        asked++;
        return Promise.reject(new Error('ENOTFOUND'));
      },
      () => nowMs,
    );
    expect(await lookups.addresses('a.test')).to.deep.equal([]);
    expect(await lookups.addresses('a.test')).to.deep.equal([]);
    expect(asked).to.equal(1);
  });

  it('go to the name servers for a few names at a time', async () => {
    const servers = new Servers();
    const lookups = new Lookups(servers.resolve, () => nowMs);
    const all = Array.from({ length: 64 }, (_, i) => lookups.addresses(`n${i}.test`));
    await turn();
    expect(servers.asked).to.have.length(EGRESS.lookupsParallel);
    for (let i = 0; i < 64; i++) {
      servers.answer(10, '192.0.2.1');
      await turn();
      expect(servers.asked.length).to.equal(Math.min(64, EGRESS.lookupsParallel + i + 1));
    }
    await Promise.all(all);
  });

  it('take IPv4 addresses from an answer and nothing else', async () => {
    const servers = new Servers();
    const asked = new Lookups(servers.resolve, () => nowMs).addresses('a.test');
    servers.answer(10, '::ffff:127.0.0.1', 'a.test', '192.0.2.1');
    expect(await asked).to.deep.equal(['192.0.2.1']);
  });

  it('read hosts files', () => {
    const hosts = '# 192.0.2.9 a.test\n192.0.2.1 b.test A.test # c.test\n::1 a.test\n192.0.2.2\ta.test';
    expect(fromHosts(hosts, 'a.test')).to.deep.equal(['192.0.2.1', '192.0.2.2']);
    expect(fromHosts(hosts, 'c.test')).to.deep.equal([]);
  });
});
