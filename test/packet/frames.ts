/** Random frames and checks on them, for the tests of packet code. */

import { buildFrame, type FrameSpec } from '../../src/packet/build.js';
import { internetChecksum, l4Checksum } from '../../src/packet/checksum.js';
import { Headers, L4_OTHER, L4_UDP, OK, parseHeaders, readU16, writeU16 } from '../../src/packet/headers.js';
import type { Random } from '../../src/packet/random.js';

export const SLOT_BYTES = 2048;

/** A slot with the frame at its start and noise behind it. */
export function slotOf(frame: Uint8Array): Uint8Array {
  const slot = new Uint8Array(SLOT_BYTES).fill(0xa5);
  slot.set(frame);
  return slot;
}

export function randomAddress(random: Random, version: 4 | 6): string {
  if (version === 4) return Array.from({ length: 4 }, () => random.below(256)).join('.');
  return Array.from({ length: 8 }, () => random.below(65_536).toString(16)).join(':');
}

export function randomBytes(random: Random, length: number): Uint8Array {
  return Uint8Array.from({ length }, () => random.below(256));
}

export function randomSpec(random: Random, fixed: Partial<FrameSpec> & { version?: 4 | 6 } = {}): FrameSpec {
  const { version = random.below(2) === 0 ? 4 : 6, ...given } = fixed;
  const protocols = ['udp', 'tcp', 'icmp-request', 'icmp-reply'] as const;
  return {
    protocol: protocols[random.below(4)]!,
    source: randomAddress(random, version),
    destination: randomAddress(random, version),
    sourcePort: 1 + random.below(65_535),
    destinationPort: 1 + random.below(65_535),
    payload: randomBytes(random, random.below(200)),
    ttl: 2 + random.below(254),
    ...(random.below(4) === 0 ? { vlan: random.below(4096) } : {}),
    ...(random.below(4) === 0 ? { ipv4Options: new Uint8Array(4 * random.below(11)).fill(1) } : {}),
    ...given,
  };
}

export function randomFrame(
  random: Random,
  fixed: Partial<FrameSpec> & { version?: 4 | 6 } = {},
): Uint8Array {
  return buildFrame(randomSpec(random, fixed));
}

export function parsed(frame: Uint8Array, length = frame.length): Headers {
  const headers = new Headers();
  const code = parseHeaders(frame, length, headers);
  if (code !== OK) throw new Error(`expected a sound frame, got parse code ${code}`);
  return headers;
}

/** What is wrong with the checksums of a frame, by full recomputation; '' if nothing is. */
export function checksumFault(frame: Uint8Array, length = frame.length): string {
  const h = parsed(frame, length);
  if (h.version === 4) {
    const headerBytes = (frame[h.l3Offset]! & 15) * 4;
    if (internetChecksum(frame, h.l3Offset, h.l3Offset + headerBytes) !== 0) return 'IPv4 header checksum';
  }
  if (h.l4Kind === L4_OTHER) return '';
  const held = readU16(frame, h.l4Checksum);
  if (h.version === 4 && h.l4Kind === L4_UDP && held === 0) return '';
  return held === l4Checksum(frame, h) ? '' : 'L4 checksum';
}

/** Damages a copy: bytes, bits, header fields, length. Returns the new length. */
export function mutate(random: Random, slot: Uint8Array, length: number): number {
  const times = 1 + random.below(6);
  for (let i = 0; i < times; i++) {
    // Mostly in the headers, where lengths and types stand.
    const at = random.below(random.below(3) === 0 ? length : Math.min(length, 70));
    const kind = random.below(4);
    if (kind === 0) slot[at] = random.below(256);
    else if (kind === 1) slot[at] = slot[at]! ^ (1 << random.below(8));
    else if (kind === 2) slot[at] = random.below(2) * 255;
    else if (at + 1 < length) slot.set([0x86, 0xdd], at);
  }
  return random.below(3) === 0 ? random.below(length + 1) : length;
}

/** An ICMP "unreachable" (type 3, or 1 in IPv6) from `source` to `destination` that quotes the start of `about`. */
export function icmpError(
  source: string,
  destination: string,
  about: Uint8Array,
  quotedBytes: number,
): Uint8Array {
  const h = parsed(about);
  const payload = about.slice(h.l3Offset, Math.min(h.l3End, h.l4Offset + quotedBytes));
  const frame = buildFrame({ protocol: 'icmp-request', source, destination, payload });
  const outer = parsed(frame);
  frame[outer.l4Offset] = outer.version === 4 ? 3 : 1;
  frame.set([0, 0, 0, 0], outer.l4Offset + 4);
  writeU16(frame, outer.l4Checksum, l4Checksum(frame, outer));
  return frame;
}
