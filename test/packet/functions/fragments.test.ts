import { expect } from 'chai';
import { buildFrame } from '../../../src/packet/build.js';
import { internetChecksum } from '../../../src/packet/checksum.js';
import { Firewall } from '../../../src/packet/functions/firewall.js';
import { type Direction, DROP } from '../../../src/packet/functions/function.js';
import { LoadBalancer } from '../../../src/packet/functions/lb.js';
import { Nat } from '../../../src/packet/functions/nat.js';
import { writeU16 } from '../../../src/packet/headers.js';

const UDP = {
  protocol: 'udp',
  source: '10.0.0.1',
  destination: '10.0.0.2',
  payload: new Uint8Array(64),
} as const;

/** A fragment of a packet: at `offset` bytes, with more to come or not. */
function fragment(id: number, offset: number, more: boolean): Uint8Array {
  const frame = buildFrame({ ...UDP, ipv4Identification: id });
  writeU16(frame, 20, (more ? 0x2000 : 0) | (offset >>> 3));
  writeU16(frame, 24, 0);
  writeU16(frame, 24, internetChecksum(frame, 14, 34));
  return frame;
}

describe('fragments', () => {
  const functions = {
    firewall: () => new Firewall({}),
    nat: () => new Nat({ externalAddress: '192.0.2.9' }),
    lb: () => new LoadBalancer({ services: [{ address: '10.0.0.2', backends: [{ address: '10.0.0.77' }] }] }),
  };
  for (const [name, make] of Object.entries(functions)) {
    const pass = (fn: ReturnType<typeof make>, frame: Uint8Array, nowMs = 0, direction: Direction = 0) =>
      fn.process(frame, frame.length, direction, nowMs) !== DROP;

    it(`${name}: later ones go the way of the first, with right checksums`, () => {
      const fn = make();
      const [first, later] = [fragment(1, 0, true), fragment(1, 72, false)];
      expect(pass(fn, first)).to.equal(true);
      expect(pass(fn, later)).to.equal(true);
      expect(later.subarray(26, 34), 'addresses').to.deep.equal(first.subarray(26, 34));
      expect(internetChecksum(later, 14, 34)).to.equal(0);
    });

    it(`${name}: one of another packet, of another side, too late, or over the ports is dropped`, () => {
      const fn = make();
      expect(pass(fn, fragment(2, 72, false)), 'before its first').to.equal(false);
      expect(pass(fn, fragment(1, 0, true))).to.equal(true);
      expect(pass(fn, fragment(2, 72, false)), 'another packet').to.equal(false);
      expect(pass(fn, fragment(1, 72, false), 0, 1), 'another side').to.equal(false);
      expect(pass(fn, fragment(1, 8, false)), 'over the ports').to.equal(false);
      expect(pass(fn, fragment(1, 72, false), 29_000)).to.equal(true);
      expect(pass(fn, fragment(1, 72, false), 31_000), 'too late').to.equal(false);
      expect(fn.counters.fragments).to.equal(5);
    });
  }

  it('firewall: later ones of a packet that was refused stay outside, also after a frame that is not IP', () => {
    const firewall = new Firewall({ rules: [{ action: 'deny', protocol: 'udp' }] });
    const arp = buildFrame(UDP);
    writeU16(arp, 12, 0x0806);
    for (const frame of [fragment(1, 0, true), arp, fragment(1, 72, false)]) {
      expect(firewall.process(frame, frame.length, 0, 0) !== DROP).to.equal(frame === arp);
    }
  });
});
