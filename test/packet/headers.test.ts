/** Parsing: sound frames field by field, each kind of broken frame by its code, and damage of every kind. */

import { expect } from 'chai';
import { addressWords } from '../../src/packet/address.js';
import { buildFrame } from '../../src/packet/build.js';
import {
  BAD_L4,
  BAD_LENGTH,
  BAD_VERSION,
  FRAGMENT,
  Headers,
  L4_ECHO,
  L4_OTHER,
  L4_TCP,
  L4_UDP,
  NOT_IP,
  OK,
  parseHeaders,
  TCP_SYN,
  TRUNCATED,
  writeU16,
} from '../../src/packet/headers.js';
import { readCapture } from '../../src/packet/pcap.js';
import { Random } from '../../src/packet/random.js';
import { mutate, parsed, randomSpec, slotOf } from './frames.js';

const UDP = {
  protocol: 'udp',
  source: '10.0.0.1',
  destination: '10.0.0.2',
  payload: new Uint8Array(20),
} as const;
const UDP6 = { ...UDP, source: 'fd00::1', destination: 'fd00::2' } as const;
const headers = new Headers();
const code = (frame: Uint8Array, length = frame.length) => parseHeaders(frame, length, headers);

/** Puts extension headers between the IPv6 header and the L4 header. */
function withExtensions(frame: Uint8Array, first: number, extensions: number[]): Uint8Array {
  const result = new Uint8Array(frame.length + extensions.length);
  result.set(frame.subarray(0, 54));
  result.set(extensions, 54);
  result.set(frame.subarray(54), 54 + extensions.length);
  result[20] = first;
  writeU16(result, 18, frame.length - 54 + extensions.length);
  return result;
}

describe('headers', () => {
  it('finds every field of random sound frames', () => {
    const random = new Random(1);
    for (let i = 0; i < 2_000; i++) {
      const spec = randomSpec(random);
      const frame = buildFrame(spec);
      const h = parsed(frame);
      const source = addressWords(spec.source)!;
      expect(h.version).to.equal(source.version);
      expect([...h.tuple.subarray(0, 4)]).to.deep.equal([...source.words]);
      expect([...h.tuple.subarray(4, 8)]).to.deep.equal([...addressWords(spec.destination)!.words]);
      expect(h.ttl).to.equal(spec.ttl);
      expect(h.l3Offset).to.equal(spec.vlan === undefined ? 14 : 18);
      expect([...frame.subarray(h.payloadOffset, h.payloadEnd)]).to.deep.equal([...spec.payload!]);
      if (spec.protocol === 'udp' || spec.protocol === 'tcp') {
        expect(h.l4Kind).to.equal(spec.protocol === 'udp' ? L4_UDP : L4_TCP);
        expect([h.sourcePort, h.destinationPort]).to.deep.equal([spec.sourcePort, spec.destinationPort]);
      } else {
        expect(h.l4Kind).to.equal(L4_ECHO);
        const ports = spec.protocol === 'icmp-request' ? [spec.sourcePort, 0] : [0, spec.sourcePort];
        expect([h.sourcePort, h.destinationPort]).to.deep.equal(ports);
      }
    }
  });

  it('ignores Ethernet padding', () => {
    const frame = buildFrame({ ...UDP, payload: Uint8Array.of(1, 2) });
    const padded = new Uint8Array(60);
    padded.set(frame);
    const h = parsed(padded);
    expect([h.l3End, h.payloadEnd]).to.deep.equal([frame.length, frame.length]);
  });

  it('reads TCP flags and two VLAN tags', () => {
    const frame = buildFrame({ ...UDP, protocol: 'tcp', tcpFlags: TCP_SYN, vlan: 5 });
    const tagged = new Uint8Array(frame.length + 4);
    tagged.set(frame.subarray(0, 12));
    tagged.set([0x88, 0xa8, 0, 9], 12);
    tagged.set(frame.subarray(12), 16);
    const h = parsed(tagged);
    expect([h.tcpFlags, h.l3Offset]).to.deep.equal([TCP_SYN, 22]);
  });

  it('walks IPv6 extension headers', () => {
    const frame = buildFrame(UDP6);
    const options = [0, 0, 1, 4, 0, 0, 0, 0];
    const chain = withExtensions(frame, 0, [
      43,
      ...options.slice(1),
      60,
      ...options.slice(1),
      51,
      ...options.slice(1),
      17,
      1,
      ...options,
      0,
      0,
    ]);
    expect(code(chain)).to.equal(OK);
    expect([headers.protocol, headers.l4Kind, headers.sourcePort]).to.deep.equal([17, L4_UDP, 1000]);
    expect(headers.l4Offset).to.equal(54 + 36);
    expect(code(withExtensions(frame, 0, [17, 200, 1, 4, 0, 0, 0, 0]))).to.equal(BAD_L4);
  });

  it('tells fragments that have an L4 header from those that have none', () => {
    const v4 = buildFrame(UDP);
    writeU16(v4, 20, 0x2000);
    expect([code(v4), headers.fragment]).to.deep.equal([OK, 1]);
    writeU16(v4, 20, 0x2001);
    expect([code(v4), headers.fragment]).to.deep.equal([FRAGMENT, 2]);
    const fragment = (field: number) =>
      withExtensions(buildFrame(UDP6), 44, [17, 0, field >> 8, field & 255, 0, 0, 0, 1]);
    expect([code(fragment(1)), headers.fragment]).to.deep.equal([OK, 1]);
    expect([code(fragment(9)), headers.fragment]).to.deep.equal([FRAGMENT, 2]);
    expect([code(fragment(0)), headers.fragment]).to.deep.equal([OK, 0]);
  });

  it('gives each kind of broken frame its code', () => {
    const v4 = buildFrame(UDP);
    const v6 = buildFrame(UDP6);
    const changed = (frame: Uint8Array, at: number, ...bytes: number[]) => {
      const copy = frame.slice();
      copy.set(bytes, at);
      return copy;
    };
    expect(code(v4, 13)).to.equal(TRUNCATED);
    expect(code(v4, 30)).to.equal(TRUNCATED);
    expect(code(v4, v4.length - 1)).to.equal(TRUNCATED);
    expect(code(v6, v6.length - 1)).to.equal(TRUNCATED);
    expect(code(v4, v4.length + 1)).to.equal(TRUNCATED);
    expect(code(changed(v4, 14, 0x65))).to.equal(BAD_VERSION);
    expect(code(changed(v6, 14, 0x45))).to.equal(BAD_VERSION);
    expect(code(changed(v4, 14, 0x44))).to.equal(BAD_LENGTH);
    expect(code(changed(v4, 16, 0, 19))).to.equal(BAD_LENGTH);
    expect(code(changed(v4, 16, 0, 27))).to.equal(BAD_L4);
    expect(code(changed(v4, 38, 0, 7))).to.equal(BAD_L4);
    expect(code(changed(v4, 38, 0, 29))).to.equal(BAD_L4);
    expect(code(changed(v4, 12, 0x08, 0x06))).to.equal(NOT_IP);
    expect([code(changed(v4, 23, 47)), headers.l4Kind]).to.deep.equal([OK, L4_OTHER]);
    expect(code(changed(buildFrame({ ...UDP, protocol: 'tcp' }), 46, 0x40))).to.equal(BAD_L4);
    expect(code(changed(v6, 18, 0, 0))).to.equal(BAD_L4);
  });

  it('never reads past the frame, whatever the damage: all offsets lie inside it', () => {
    const random = new Random(2);
    const { packets } = readCapture('data/openNetVM-64B_download.pcap');
    for (let i = 0; i < 100_000; i++) {
      const bytes =
        i % 2 === 0 ? packets[random.below(packets.length)]!.bytes : buildFrame(randomSpec(random));
      const slot = slotOf(bytes);
      const length = mutate(random, slot, bytes.length);
      const result = code(slot, length);
      expect(result).to.be.within(OK, BAD_LENGTH);
      if (result === OK || result === FRAGMENT || result === BAD_L4) {
        const { l3Offset, l4Offset, payloadOffset, payloadEnd, l3End, l4Checksum } = headers;
        const ordered =
          l3Offset < l4Offset &&
          l4Offset <= payloadOffset &&
          payloadOffset <= payloadEnd &&
          payloadEnd <= l3End;
        if (!ordered || l3End > length || (l4Checksum !== 0 && l4Checksum + 2 > l3End)) {
          expect.fail(JSON.stringify({ i, result, length, ...headers }));
        }
      }
    }
  });
});
