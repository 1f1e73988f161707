/** Longest-prefix match against a linear search; TTL, checksum, next hops, what is dropped and why. */

import { expect } from 'chai';
import { maskWord, type Prefix, parsePrefix } from '../../../src/packet/address.js';
import { buildFrame, type FrameSpec } from '../../../src/packet/build.js';
import { DROP } from '../../../src/packet/functions/function.js';
import { LpmTable } from '../../../src/packet/functions/lpm.js';
import { Router } from '../../../src/packet/functions/router.js';
import { writeU16 } from '../../../src/packet/headers.js';
import { Random } from '../../../src/packet/random.js';
import { checksumFault, randomSpec, slotOf } from '../frames.js';

function naiveLookup(routes: ReadonlyArray<{ prefix: Prefix; value: number }>, words: Int32Array): number {
  let best = -1;
  let bestBits = -1;
  for (const { prefix, value } of routes) {
    const fits = [0, 1, 2, 3].every((i) => (words[i]! & maskWord(prefix.bits, i)) === prefix.words[i]);
    if (fits && prefix.bits >= bestBits) {
      best = value;
      bestBits = prefix.bits;
    }
  }
  return best;
}

describe('longest-prefix match', () => {
  for (const version of [4, 6] as const) {
    it(`IPv${version}: agrees with a linear search over random and nested routes`, () => {
      const random = new Random(50 + version);
      const width = version === 4 ? 32 : 128;
      // Few different bits, so that prefixes nest and addresses hit deep ones.
      const word = () =>
        (random.below(4) << 30) | (random.below(2) << 16) | (random.below(4) << 7) | random.below(4);
      const address = () => Int32Array.from({ length: 4 }, (_, i) => (version === 4 && i > 0 ? 0 : word()));
      const wrong: string[] = [];
      for (let round = 0; round < 20; round++) {
        const routes = Array.from({ length: 1 + random.below(200) }, (_, value) => {
          const bits = random.below(width + 1);
          const words = address().map((part, i) => part & maskWord(bits, i));
          return { prefix: { version, words, bits }, value };
        });
        const table = new LpmTable(routes);
        for (let i = 0; i < 500; i++) {
          const words = random.below(2) === 0 ? address() : routes[random.below(routes.length)]!.prefix.words;
          const found = table.lookup(Int32Array.of(0, 0, 0, 0, ...words), 4);
          const right = naiveLookup(routes, words);
          if (found !== right) wrong.push(`${[...words]}: ${found}, ${right}`);
        }
      }
      expect(wrong).to.deep.equal([]);
    });
  }

  it('has no route without a default, all with one, and host routes', () => {
    const route = (text: string, value: number) => ({ prefix: parsePrefix(text)!, value });
    const at = (text: string) => parsePrefix(text)!.words;
    const table = new LpmTable([route('10.0.0.1/32', 1), route('10.0.0.0/31', 2)]);
    expect(
      [at('10.0.0.1'), at('10.0.0.0'), at('10.0.0.2')].map((words) => table.lookup(words, 0)),
    ).to.deep.equal([1, 2, -1]);
    expect(new LpmTable([route('0.0.0.0/0', 9)]).lookup(at('255.255.255.255'), 0)).to.equal(9);
    expect(new LpmTable([]).lookup(at('10.0.0.1'), 0)).to.equal(-1);
  });
});

const SPEC: FrameSpec = { protocol: 'udp', source: '10.0.0.1', destination: '10.1.2.3' };

function route(router: Router, frame: Uint8Array): Uint8Array | undefined {
  const slot = slotOf(frame);
  const length = router.process(slot, frame.length, 0, 0);
  return length === DROP ? undefined : slot.slice(0, length);
}

describe('router', () => {
  it('counts TTL and hop limit down by one and keeps every checksum right', () => {
    const random = new Random(55);
    const router = new Router({});
    for (let i = 0; i < 2_000; i++) {
      const spec = randomSpec(random);
      const frame = buildFrame(spec);
      const routed = route(router, frame)!;
      expect(checksumFault(routed)).to.equal('');
      expect(routed).to.deep.equal(buildFrame({ ...spec, ttl: spec.ttl! - 1 }));
    }
  });

  it('drops what expires, has no route, has a wrong header checksum or is not IP', () => {
    const router = new Router({
      routes: [{ prefix: '10.0.0.0/8' }, { prefix: '10.66.0.0/16', drop: true }, { prefix: 'fd00::/8' }],
    });
    expect(route(router, buildFrame({ ...SPEC, ttl: 1 }))).to.equal(undefined);
    expect(route(router, buildFrame({ ...SPEC, ttl: 0 }))).to.equal(undefined);
    expect(
      route(router, buildFrame({ ...SPEC, source: 'fd00::1', destination: 'fd00::2', ttl: 1 })),
    ).to.equal(undefined);
    expect(route(router, buildFrame({ ...SPEC, destination: '11.0.0.1' }))).to.equal(undefined);
    expect(route(router, buildFrame({ ...SPEC, source: 'fd00::1', destination: '2001:db8::1' }))).to.equal(
      undefined,
    );
    expect(route(router, buildFrame({ ...SPEC, destination: '10.66.1.1' }))).to.equal(undefined);
    const damaged = buildFrame(SPEC);
    damaged[24]! ^= 1;
    expect(route(router, damaged)).to.equal(undefined);
    expect(route(new Router({ verifyChecksum: false }), damaged)).to.not.equal(undefined);
    expect(route(router, new Uint8Array(60))).to.equal(undefined);
    expect(router.counters).to.deep.equal({
      forwarded: 0,
      dropped: 8,
      broken: 0,
      nonIp: 1,
      badChecksum: 1,
      ttlExpired: 3,
      noRoute: 2,
      blackholed: 1,
    });
  });

  it('writes the MAC addresses of the longest route', () => {
    const router = new Router({
      mac: '02:00:00:00:00:99',
      routes: [{ prefix: '0.0.0.0/0' }, { prefix: '10.1.0.0/16', mac: '02:00:00:00:00:aa' }],
    });
    const hop = route(router, buildFrame(SPEC))!;
    expect([...hop.subarray(0, 12)]).to.deep.equal([2, 0, 0, 0, 0, 0xaa, 2, 0, 0, 0, 0, 0x99]);
    const other = buildFrame({ ...SPEC, destination: '10.2.0.1' });
    expect([...route(router, other)!.subarray(0, 12)]).to.deep.equal([...other.subarray(0, 12)]);
  });

  it('routes later fragments, which have no L4 header', () => {
    const frame = buildFrame({ ...SPEC, ttl: 64 });
    writeU16(frame, 20, 100);
    expect(route(new Router({ verifyChecksum: false }), frame)![22]).to.equal(63);
  });
});
