/**
 * The internet checksum (RFC 1071) and its incremental update (RFC 1624, equation 3). A *delta* gathers what changed,
 * and one delta may be applied to several checksums: an address is part of the IPv4 header and of the pseudo header.
 * Easy to get wrong: in UDP over IPv4 a checksum of 0 means "none" and must stay 0, and a computed 0 is sent as 0xffff.
 */

import { type Headers, L4_UDP, readU16, writeU16 } from './headers.js';

/** Sums stay below 2^32: a frame has at most 2^15 words. */
function fold(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = (folded & 0xffff) + (folded >>> 16);
  return folded;
}

/** The folded one's complement sum of `bytes[start..end)`, odd lengths padded with a zero byte. */
export function onesSum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  let sum = initial;
  let i = start;
  for (; i + 1 < end; i += 2) sum += (bytes[i]! << 8) | bytes[i + 1]!;
  if (i < end) sum += bytes[i]! << 8;
  return fold(sum);
}

/** The checksum of `bytes[start..end)` while its own field is zero; over a header with the right field in it, 0. */
export function internetChecksum(bytes: Uint8Array, start: number, end: number, initial = 0): number {
  return ~onesSum(bytes, start, end, initial) & 0xffff;
}

/** Sum of the pseudo header of a parsed packet, for the L4 checksum. ICMP over IPv4 has none. */
export function pseudoHeaderSum(h: Headers, l4Length: number): number {
  if (h.version === 4 && h.protocol === 1) return 0;
  let sum = h.protocol + l4Length;
  for (let word = 0; word < 8; word++) sum += (h.tuple[word]! >>> 16) + (h.tuple[word]! & 0xffff);
  return fold(sum);
}

/** The L4 checksum of a parsed, unfragmented packet, computed from scratch; the frame is not changed. */
export function l4Checksum(frame: Uint8Array, h: Headers): number {
  const end = h.l4Kind === L4_UDP ? h.payloadEnd : h.l3End;
  // The field itself counts as zero: take it out of the sum again.
  const field = readU16(frame, h.l4Checksum);
  const sum = onesSum(frame, h.l4Offset, end, pseudoHeaderSum(h, end - h.l4Offset));
  const without = fold(sum + (~field & 0xffff));
  const checksum = ~without & 0xffff;
  return checksum === 0 && h.l4Kind === L4_UDP ? 0xffff : checksum;
}

/** The change of a 16-bit word, to be added to a delta. */
export function delta16(before: number, after: number): number {
  return (~before & 0xffff) + (after & 0xffff);
}

/** The change of a 32-bit word, to be added to a delta. */
export function delta32(before: number, after: number): number {
  return (~before >>> 16) + (~before & 0xffff) + (after >>> 16) + (after & 0xffff);
}

/** RFC 1624: HC' = ~(~HC + ~m + m'), with the delta as the sum of all ~m + m'. */
export function updatedChecksum(checksum: number, delta: number): number {
  return ~fold((~checksum & 0xffff) + delta) & 0xffff;
}

export function applyDelta(frame: Uint8Array, offset: number, delta: number): void {
  writeU16(frame, offset, updatedChecksum(readU16(frame, offset), delta));
}

/** Applies a delta to the L4 checksum of a parsed packet, if it has one. */
export function applyL4Delta(frame: Uint8Array, h: Headers, delta: number): void {
  const offset = h.l4Checksum;
  if (offset === 0) return;
  const before = readU16(frame, offset);
  if (h.l4Kind !== L4_UDP) {
    writeU16(frame, offset, updatedChecksum(before, delta));
    return;
  }
  if (before === 0) return;
  const after = updatedChecksum(before, delta);
  writeU16(frame, offset, after === 0 ? 0xffff : after);
}
