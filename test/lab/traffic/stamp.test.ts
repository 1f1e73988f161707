import { expect } from 'chai';
import {
  makeTemplate,
  STAMP_BYTES,
  sinceStampNs,
  stampSequence,
  stampWindow,
  type Template,
  writeStamp,
} from '../../../src/lab/traffic/stamp.js';
import { buildFrame, type FrameSpec } from '../../../src/packet/build.js';
import { internetChecksum, l4Checksum } from '../../../src/packet/checksum.js';
import { Headers, OK, parseHeaders, readU16 } from '../../../src/packet/headers.js';

const V4 = { source: '10.0.0.1', destination: '10.0.0.2' };
const V6 = { source: 'fd00::1', destination: 'fd00::2' };

function stamped(template: Template, sequence: number, nanoseconds = 999_999_999): Uint8Array {
  const frame = template.frame.slice();
  writeStamp(frame, template, 7, sequence, 0xfedcba98, nanoseconds);
  return frame;
}

describe('stamp', () => {
  const specs: Record<string, FrameSpec> = {
    'UDP over IPv4': { protocol: 'udp', ...V4, payload: new Uint8Array(18).fill(9) },
    'TCP over IPv4 with an odd payload': { protocol: 'tcp', ...V4, payload: new Uint8Array(33).fill(0xa5) },
    'TCP over IPv4 with options and a VLAN': {
      protocol: 'tcp',
      ...V4,
      ipv4Options: new Uint8Array(4).fill(1),
      vlan: 5,
    },
    'UDP over IPv6 with an odd payload': { protocol: 'udp', ...V6, payload: new Uint8Array(1) },
    'TCP over IPv6': { protocol: 'tcp', ...V6 },
    'ICMP echo': { protocol: 'icmp-request', ...V4, payload: new Uint8Array(8) },
  };
  for (const [name, spec] of Object.entries(specs)) {
    it(`leaves a well-formed packet with right checksums: ${name}`, () => {
      const frame = buildFrame(spec);
      const template = makeTemplate(frame, frame.length, 0);
      for (const sequence of [0, 1, 0xffff, 0x10000, 0xfffffffe, 12_345_678]) {
        const sent = stamped(template, sequence, sequence % 1_000_000_000);
        const headers = new Headers();
        expect(parseHeaders(sent, sent.length, headers)).to.equal(OK);
        expect(headers.l3End).to.equal(sent.length);
        expect(headers.payloadEnd).to.equal(sent.length);
        if (headers.version === 4) {
          const { l3Offset } = headers;
          const end = l3Offset + (sent[l3Offset]! & 15) * 4;
          expect(internetChecksum(sent, l3Offset, end)).to.equal(0);
        }
        expect(readU16(sent, headers.l4Checksum)).to.equal(l4Checksum(sent, headers));
      }
    });
  }

  it('is payload behind the payload, not behind the padding of a short frame', () => {
    const frame = buildFrame({ protocol: 'udp', ...V4, payload: Uint8Array.of(1, 2) });
    const padded = new Uint8Array(60);
    padded.set(frame);
    expect(makeTemplate(padded, 60, 0).frame.length).to.equal(frame.length + STAMP_BYTES);
  });

  it('keeps a UDP datagram without a checksum without one', () => {
    const frame = buildFrame({ protocol: 'udp', ...V4, noUdpChecksum: true });
    const sent = stamped(makeTemplate(frame, frame.length, 0), 77);
    expect(readU16(sent, 14 + 20 + 6)).to.equal(0);
  });

  it('is a trailer of what is no IP packet, and of what was cut short', () => {
    const arp = new Uint8Array(42).fill(6);
    arp.set([0x08, 0x06], 12);
    const cut = buildFrame({ protocol: 'tcp', ...V4, payload: new Uint8Array(100) }).subarray(0, 54);
    for (const frame of [arp, cut, new Uint8Array(14)]) {
      const sent = stamped(makeTemplate(frame, frame.length, 1), 5);
      expect(sent.subarray(0, frame.length)).to.deep.equal(Uint8Array.from(frame));
      expect(sent.length).to.equal(frame.length + STAMP_BYTES);
    }
  });

  it('tells window, sequence and age of a frame anywhere in a buffer', () => {
    const frame = buildFrame({ protocol: 'udp', ...V4 });
    const sent = stamped(makeTemplate(frame, frame.length, 0), 0xfffffff0);
    const slot = new Uint8Array(500);
    slot.set(sent, 101);
    const end = 101 + sent.length;
    expect(stampWindow(slot, 101, end)).to.equal(7);
    expect(stampSequence(slot, end)).to.equal(0xfffffff0);
    expect(sinceStampNs(slot, end, 0xfedcba98 + 1, 1)).to.equal(2);
    expect(sinceStampNs(slot, end, 0xfedcba98, 999_999_000)).to.equal(-999);
  });

  it('is not seen in frames without one, nor in frames shorter than it', () => {
    expect(stampWindow(new Uint8Array(100), 0, 100)).to.equal(-1);
    const sent = stamped(makeTemplate(new Uint8Array(14), 14, 0), 1);
    expect(stampWindow(sent, sent.length - STAMP_BYTES + 1, sent.length)).to.equal(-1);
  });
});
