/**
 * Finishes what the sender of a frame left to hardware: a checksum, or the cutting of up to 64 KB into segments. A network
 * function so sees only frames as they are on a wire, and nothing depends on what the outgoing interface can do.
 * Easy to get wrong: the checksum field holds the pseudo header's sum until then, with the length of all segments
 * together; and in a tunnel (VXLAN, IP in IP) each outer header has a length of its own.
 */

import { GSO_TCPV4, GSO_TCPV6, GSO_UDP_L4, VirtioHeader } from '../linux/virtio-header.js';
import { applyDelta, delta16, internetChecksum, l4Checksum } from './checksum.js';
import {
  Headers,
  L4_TCP,
  L4_UDP,
  OK,
  parseHeaders,
  readI32,
  readU16,
  TCP_FIN,
  TCP_PSH,
  writeI32,
  writeU16,
} from './headers.js';

/** "Congestion window reduced" is said once, by the first segment. */
const TCP_CWR = 128;
const UDP_BYTES = 8;
const TCP_BYTES = 20;

/** Puts in the checksum that starts at `start` and whose field already holds the pseudo header's sum. */
export function finishChecksum(frame: Uint8Array, length: number, start: number, offset: number): void {
  const field = start + offset;
  if (field + 2 > length) return;
  writeU16(frame, field, internetChecksum(frame, start, length) || 0xffff);
}

/** Cuts one long frame; used again for each, so that nothing is allocated. */
export class Segments {
  /** How many there are. */
  count = 0;
  private readonly headers = new Headers();
  private readonly segment = new Headers();
  private bytes: Uint8Array = new Uint8Array(0);
  private start = 0;
  private end = 0;
  private size = 0;
  private tcp = false;
  private l4 = 0;
  private payload = 0;
  /** The IP header inside a tunnel; 0 without one. */
  private innerL3 = 0;
  private partial = false;

  /**
   * Takes `bytes[start..end)`, a frame without its outer VLAN tag, which must stay as it is until the last `write`. False:
   * it is not what its virtio header says, or of a kind that cannot be cut.
   */
  begin(bytes: Uint8Array, start: number, end: number, left: VirtioHeader): boolean {
    const h = this.headers;
    const frame = bytes.subarray(start, end);
    const code = parseHeaders(frame, frame.length, h);
    this.tcp = left.gsoType === GSO_TCPV4 || left.gsoType === GSO_TCPV6;
    if ((!this.tcp && left.gsoType !== GSO_UDP_L4) || code !== OK || left.gsoSize === 0) return false;
    this.partial = left.needsChecksum;
    this.l4 = left.needsChecksum ? left.checksumStart : h.l4Offset;
    this.innerL3 = 0;
    if (this.l4 !== h.l4Offset && !this.findInner(frame, left.gsoType)) return false;
    if (this.l4 + (this.tcp ? TCP_BYTES : UDP_BYTES) > frame.length) return false;
    this.payload = this.l4 + (this.tcp ? (frame[this.l4 + 12]! >>> 4) << 2 : UDP_BYTES);
    if (this.payload < this.l4 + UDP_BYTES || this.payload >= h.l3End) return false;
    this.bytes = bytes;
    this.start = start;
    this.end = start + h.l3End;
    this.size = left.gsoSize;
    this.count = Math.ceil((h.l3End - this.payload) / this.size);
    return true;
  }

  /** Length of segment `i`, without a tag. */
  lengthOf(i: number): number {
    const whole = this.end - this.start;
    return this.payload + Math.min(this.size, whole - this.payload - i * this.size);
  }

  /** Writes segment `i` to the front of `frame`, with the 4 bytes of `tagWord` behind its addresses if `tagged`. */
  write(i: number, frame: Uint8Array, tagged: boolean, tagWord: number): number {
    const { bytes, start, payload } = this;
    const shift = tagged ? 4 : 0;
    copyBytes(bytes, start, frame, 0, 12);
    if (tagged) writeTag(frame, tagWord);
    copyBytes(bytes, start + 12, frame, 12 + shift, payload - 12);
    const length = this.lengthOf(i) + shift;
    copyBytes(bytes, start + payload + i * this.size, frame, payload + shift, length - payload - shift);
    const h = this.headers;
    this.fixIp(frame, h.l3Offset + shift, length, i);
    if (this.innerL3 !== 0) {
      this.fixIp(frame, this.innerL3 + shift, length, i);
      if (h.l4Kind === L4_UDP) writeU16(frame, h.l4Offset + shift + 4, length - h.l4Offset - shift);
    }
    this.fixL4(frame, shift, length, i);
    // The tunnel's own checksum covers all of that.
    const outer = h.l4Checksum + shift;
    if (this.innerL3 !== 0 && h.l4Kind === L4_UDP && readU16(frame, outer) !== 0) {
      if (parseHeaders(frame, length, this.segment) === OK)
        writeU16(frame, outer, l4Checksum(frame, this.segment));
    }
    return length;
  }

  private findInner(frame: Uint8Array, gsoType: number): boolean {
    for (const [version, bytes] of [
      [4, 20],
      [6, 40],
    ] as const) {
      const l3 = this.l4 - bytes;
      if (l3 <= this.headers.l3Offset || frame[l3]! >>> 4 !== version) continue;
      if (version === 4 ? frame[l3] !== 0x45 : gsoType === GSO_TCPV4) continue;
      this.innerL3 = l3;
      return true;
    }
    return false;
  }

  private fixIp(frame: Uint8Array, l3: number, length: number, i: number): void {
    if (frame[l3]! >>> 4 === 6) {
      writeU16(frame, l3 + 4, length - l3 - 40);
      return;
    }
    writeU16(frame, l3 + 2, length - l3);
    writeU16(frame, l3 + 4, readU16(frame, l3 + 4) + i);
    writeU16(frame, l3 + 10, 0);
    writeU16(frame, l3 + 10, internetChecksum(frame, l3, l3 + ((frame[l3]! & 15) << 2)));
  }

  private fixL4(frame: Uint8Array, shift: number, length: number, i: number): void {
    const l4 = this.l4 + shift;
    const field = l4 + (this.tcp ? 16 : 6);
    const last = i + 1 === this.count;
    if (this.tcp) {
      writeI32(frame, l4 + 4, readI32(frame, l4 + 4) + i * this.size);
      if (!last) frame[l4 + 13]! &= ~(TCP_FIN | TCP_PSH);
      if (i > 0) frame[l4 + 13]! &= ~TCP_CWR;
    } else writeU16(frame, l4 + 4, length - l4);
    if (this.partial) {
      const whole = this.end - this.start - this.l4;
      // The field is a plain sum, an update is of its complement: both ways are the same sum.
      writeU16(frame, field, ~readU16(frame, field));
      applyDelta(frame, field, delta16(whole, length - l4));
      writeU16(frame, field, ~readU16(frame, field));
      finishChecksum(frame, length, l4, field - l4);
    } else if (parseHeaders(frame, length, this.segment) === OK) {
      writeU16(frame, field, l4Checksum(frame, this.segment));
    }
  }
}

/** A long TCP frame, as a capture on its sender has it, in segments of at most `maxBytes`; undefined if it is not one. */
export function cutSegments(frame: Uint8Array, maxBytes: number): Uint8Array[] | undefined {
  const h = new Headers();
  if (parseHeaders(frame, frame.length, h) !== OK || h.l4Kind !== L4_TCP) return undefined;
  const left = new VirtioHeader();
  left.gsoType = h.version === 4 ? GSO_TCPV4 : GSO_TCPV6;
  left.gsoSize = maxBytes - h.payloadOffset;
  const segments = new Segments();
  if (!segments.begin(frame, 0, frame.length, left)) return undefined;
  return Array.from({ length: segments.count }, (_, i) => {
    const segment = new Uint8Array(segments.lengthOf(i));
    segments.write(i, segment, false, 0);
    return segment;
  });
}

/** Puts an outer VLAN tag, as the ring tells it, behind the addresses. */
export function writeTag(frame: Uint8Array, tagWord: number): void {
  frame[12] = tagWord;
  frame[13] = tagWord >>> 8;
  frame[14] = tagWord >>> 16;
  frame[15] = tagWord >>> 24;
}

/** Without views, which would have to be allocated. */
export function copyBytes(from: Uint8Array, at: number, to: Uint8Array, toAt: number, count: number): void {
  for (let i = 0; i < count; i++) to[toAt + i] = from[at + i]!;
}
