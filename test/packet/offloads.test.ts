/** Segments and checksums that a sender left to hardware: what is made of them is what hardware would have made. */

import { expect } from 'chai';
import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VirtioHeader } from '../../src/linux/virtio-header.js';
import { buildFrame, type FrameSpec } from '../../src/packet/build.js';
import { internetChecksum, l4Checksum, pseudoHeaderSum } from '../../src/packet/checksum.js';
import {
  Headers,
  OK,
  parseHeaders,
  readI32,
  readU16,
  TCP_ACK,
  TCP_FIN,
  TCP_PSH,
  writeU16,
} from '../../src/packet/headers.js';
import { cutSegments, finishChecksum, Segments } from '../../src/packet/offloads.js';

const PAYLOAD = Uint8Array.from({ length: 5000 }, (_, i) => (i * 7) & 0xff);
const V4 = { source: '10.0.0.1', destination: '10.0.0.2', payload: PAYLOAD } as const;
const V6 = { source: 'fd00::1', destination: 'fd00::2', payload: PAYLOAD } as const;

function parsed(frame: Uint8Array): Headers {
  const headers = new Headers();
  expect(parseHeaders(frame, frame.length, headers)).to.equal(OK);
  return headers;
}

function expectRight(frame: Uint8Array): Headers {
  const h = parsed(frame);
  if (h.version === 4) expect(internetChecksum(frame, h.l3Offset, h.l3Offset + 20)).to.equal(0);
  expect(readU16(frame, h.l4Checksum), 'L4 checksum').to.equal(l4Checksum(frame, h));
  expect(h.l3End).to.equal(frame.length);
  return h;
}

/** As the kernel leaves it: the field has the pseudo header's sum, of the whole length. */
function leftToHardware(spec: FrameSpec): { frame: Uint8Array; left: VirtioHeader; headers: Headers } {
  const frame = buildFrame(spec);
  const headers = parsed(frame);
  writeU16(frame, headers.l4Checksum, pseudoHeaderSum(headers, headers.l3End - headers.l4Offset));
  const left = new VirtioHeader();
  left.needsChecksum = true;
  left.checksumStart = headers.l4Offset;
  left.checksumOffset = headers.l4Checksum - headers.l4Offset;
  left.gsoSize = 1448;
  return { frame, left, headers };
}

function cut(frame: Uint8Array, left: VirtioHeader, tagged = false): Uint8Array[] {
  const segments = new Segments();
  // Not at the front of its buffer, as in a slot.
  const buffer = new Uint8Array(frame.length + 80);
  buffer.set(frame, 70);
  expect(segments.begin(buffer, 70, 70 + frame.length, left)).to.equal(true);
  return Array.from({ length: segments.count }, (_, i) => {
    const slot = new Uint8Array(2000);
    return slot.slice(0, segments.write(i, slot, tagged, 0x64000081));
  });
}

const payloads = (frames: Uint8Array[]) =>
  Buffer.concat(frames.map((frame) => frame.subarray(parsed(frame).payloadOffset)));

describe('offloads', () => {
  for (const [name, addresses, gsoType] of [
    ['IPv4', V4, GSO_TCPV4],
    ['IPv6', V6, GSO_TCPV6],
  ] as const) {
    it(`cuts TCP over ${name}: sequence numbers, flags, lengths and checksums`, () => {
      const spec = {
        protocol: 'tcp',
        ...addresses,
        tcpSequence: 0xfffff000,
        tcpFlags: TCP_ACK | TCP_PSH | TCP_FIN | 128,
      } as const;
      for (const tagged of [false, true]) {
        const { frame, left } = leftToHardware({ ...spec, ipv4Identification: 0xffff });
        left.gsoType = gsoType;
        const frames = cut(frame, left, tagged);
        expect(frames).to.have.length(4);
        expect(payloads(frames)).to.deep.equal(Buffer.from(PAYLOAD));
        for (const [i, segment] of frames.entries()) {
          const h = expectRight(segment);
          expect(readI32(segment, h.l4Offset + 4)).to.equal((0xfffff000 + i * 1448) | 0);
          expect(h.tcpFlags).to.equal(
            i === 0 ? TCP_ACK | 128 : i === 3 ? TCP_ACK | TCP_PSH | TCP_FIN : TCP_ACK,
          );
          if (h.version === 4) expect(readU16(segment, h.l3Offset + 4)).to.equal((0xffff + i) & 0xffff);
          if (tagged) expect([...segment.subarray(12, 16)]).to.deep.equal([0x81, 0, 0, 0x64]);
        }
      }
    });

    it(`cuts UDP over ${name} into datagrams`, () => {
      const { frame, left } = leftToHardware({ protocol: 'udp', ...addresses });
      left.gsoType = GSO_UDP_L4;
      left.gsoSize = 1200;
      const frames = cut(frame, left);
      expect(frames).to.have.length(5);
      expect(payloads(frames)).to.deep.equal(Buffer.from(PAYLOAD));
      for (const segment of frames) {
        const h = expectRight(segment);
        expect(readU16(segment, h.l4Offset + 4)).to.equal(segment.length - h.l4Offset);
      }
    });

    it(`finishes a checksum, ${name}`, () => {
      for (const protocol of ['tcp', 'udp'] as const) {
        const { frame, left } = leftToHardware({ protocol, ...addresses });
        finishChecksum(frame, frame.length, left.checksumStart, left.checksumOffset);
        expectRight(frame);
      }
    });
  }

  it('cuts what a receiver joined, whose checksum is not left to anybody', () => {
    const frames = cutSegments(buildFrame({ protocol: 'tcp', ...V4 }), 1514)!;
    expect(payloads(frames)).to.deep.equal(Buffer.from(PAYLOAD));
    for (const segment of frames) expect(expectRight(segment).l3End).to.be.at.most(1514);
    expect(cutSegments(buildFrame({ protocol: 'udp', ...V4 }), 1514)).to.equal(undefined);
  });

  it('cuts TCP inside a tunnel (VXLAN), with all lengths and checksums of both', () => {
    const { frame: inner, left, headers } = leftToHardware({ protocol: 'tcp', ...V4 });
    const vxlan = Buffer.concat([Buffer.from([8, 0, 0, 0, 0, 0, 7, 0]), inner]);
    const outer = buildFrame({ protocol: 'udp', ...V6, destinationPort: 4789, payload: vxlan });
    left.gsoType = GSO_TCPV4;
    left.checksumStart = outer.length - inner.length + headers.l4Offset;
    const frames = cut(outer, left);
    expect(frames).to.have.length(4);
    const insides = frames.map((frame) => frame.slice(expectRight(frame).payloadOffset + 8));
    for (const inside of insides) expectRight(inside);
    expect(payloads(insides)).to.deep.equal(Buffer.from(PAYLOAD));
  });

  it('refuses what is not what its header says', () => {
    const { frame, left } = leftToHardware({ protocol: 'tcp', ...V4 });
    const segments = new Segments();
    const begins = (change: Partial<VirtioHeader>) =>
      segments.begin(
        frame,
        0,
        frame.length,
        Object.assign(new VirtioHeader(), left, { gsoType: GSO_TCPV4 }, change),
      );
    expect(begins({})).to.equal(true);
    for (const change of [{ gsoSize: 0 }, { gsoType: 3 }, { checksumStart: 60_000 }, { checksumStart: 20 }])
      expect(begins(change), JSON.stringify(change)).to.equal(false);
  });
});
