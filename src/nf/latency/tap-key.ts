/**
 * What tells one packet from all others and is the same before and after the NF: two independent 32-bit hashes of its
 * invariant parts. Also decides that a packet cannot be told (cut, a fragment, too little payload).
 * Of a long one that was not kept whole, its beginning tells.
 */

import { TAP } from '../../tunables/index.js';
import {
  type Invariant,
  isTag,
  PAYLOAD_MIN_BYTES,
  TAG_BYTES,
  TAGS_MAX,
  TAIL_PACKET_MIN_BYTES,
} from './tap-filter.js';

const ETHERNET_BYTES = 14;
/**
 * Of an IP packet that is longer (segments of 64 KB, jumbo frames) only so much is looked at: less than the ring keeps of a
 * frame, whatever stands before the packet, so that both ends look at the same bytes.
 */
const LOOKED_AT_BYTES = TAP.slotBytes - 256;
/** Of the payload, at most so many of the first and the last bytes are hashed. */
const HEAD_BYTES = 64;
const TAIL_BYTES = 16;

/** `read` leaves the key in `a` and `b`. */
export class PacketKey {
  a = 0;
  b = 0;

  constructor(private readonly invariant: Invariant) {}

  /** The frame is `length` bytes of `bytes` from `at`. False if it has no key. */
  read(bytes: Uint8Array, at: number, length: number): boolean {
    this.a = 0x811c9dc5 | 0;
    this.b = 0x2545f491;
    const end = at + length;
    let ip = at + ETHERNET_BYTES;
    let etherType = (bytes[ip - 2]! << 8) | bytes[ip - 1]!;
    for (let tags = 0; tags < TAGS_MAX && isTag(etherType) && ip + TAG_BYTES <= end; tags++) {
      ip += TAG_BYTES;
      etherType = (bytes[ip - 2]! << 8) | bytes[ip - 1]!;
    }
    if (ip + 20 > end) return false;
    let protocol: number;
    let transport: number;
    let packetEnd: number;
    let addresses: number;
    if (etherType === 0x0800) {
      if (((bytes[ip + 6]! << 8) | bytes[ip + 7]!) & 0x3fff) return false;
      protocol = bytes[ip + 9]!;
      if (this.invariant === 'ipv4-id') {
        this.mixRange(bytes, ip + 4, ip + 6);
        this.mix(protocol);
        return true;
      }
      transport = ip + (bytes[ip]! & 15) * 4;
      packetEnd = ip + ((bytes[ip + 2]! << 8) | bytes[ip + 3]!);
      addresses = ip + 12;
    } else if (etherType === 0x86dd && this.invariant !== 'ipv4-id' && ip + 40 <= end) {
      protocol = bytes[ip + 6]!;
      transport = ip + 40;
      packetEnd = transport + ((bytes[ip + 4]! << 8) | bytes[ip + 5]!);
      addresses = ip + 8;
    } else return false;
    const lookedAtEnd = Math.min(packetEnd, ip + LOOKED_AT_BYTES);
    // The frame may be longer (padding), but one that is shorter was cut.
    if (lookedAtEnd > end || transport + 8 > packetEnd) return false;
    if (this.invariant === 'packet-tail') {
      if (packetEnd - ip < TAIL_PACKET_MIN_BYTES || lookedAtEnd < packetEnd) return false;
      // Nothing else: around it stands something else on the other side of a tunnel.
      this.mixRange(bytes, packetEnd - TAIL_BYTES, packetEnd);
      return true;
    }
    const payload = protocol === 17 ? transport + 8 : transport + (bytes[transport + 12]! >>> 4) * 4;
    if ((protocol !== 17 && protocol !== 6) || packetEnd - payload < PAYLOAD_MIN_BYTES) return false;
    this.mix(protocol);
    this.mix(packetEnd - payload);
    if (this.invariant === 'five-tuple-payload') {
      this.mixRange(bytes, addresses, addresses + (etherType === 0x0800 ? 8 : 32));
      this.mixRange(bytes, transport, transport + 4);
    }
    this.mixRange(bytes, payload, Math.min(payload + HEAD_BYTES, lookedAtEnd));
    this.mixRange(bytes, Math.max(payload, lookedAtEnd - TAIL_BYTES), lookedAtEnd);
    return true;
  }

  private mixRange(bytes: Uint8Array, from: number, to: number): void {
    for (let i = from; i < to; i++) this.mix(bytes[i]!);
  }

  /** FNV-1a, and a multiplicative hash with a rotation beside it. */
  private mix(value: number): void {
    this.a = Math.imul(this.a ^ value, 0x01000193);
    const turned = (this.b << 5) | (this.b >>> 27);
    this.b = Math.imul(turned ^ value, 0x9e3779b1);
  }
}
