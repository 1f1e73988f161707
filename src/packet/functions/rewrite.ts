/**
 * Puts another address and port into one end of a packet and keeps its checksums right. Easy to get wrong: the address
 * is also in the L4 checksum, through the pseudo header, except in ICMP over IPv4; an echo's port is its identifier.
 */

import { applyDelta, applyL4Delta, delta16, delta32 } from '../checksum.js';
import { type Headers, L4_ECHO, PROTOCOL_ICMP, readI32, readU16, writeI32, writeU16 } from '../headers.js';

export const SOURCE = 0;
export const DESTINATION = 1;

/**
 * `words[from..from+4)` is the address (its first word for IPv4). The packet must have parsed as OK with TCP, UDP or an
 * echo, or stand quoted in an ICMP error. `h` is not updated.
 */
export function setEndpoint(
  frame: Uint8Array,
  h: Headers,
  end: typeof SOURCE | typeof DESTINATION,
  words: Int32Array,
  from: number,
  port: number,
): void {
  let delta = setAddress(frame, h, end, words, from);
  if (h.protocol === PROTOCOL_ICMP) delta = 0;
  const portOffset = h.l4Offset + (h.l4Kind === L4_ECHO ? 4 : end === SOURCE ? 0 : 2);
  delta += delta16(readU16(frame, portOffset), port);
  writeU16(frame, portOffset, port);
  applyL4Delta(frame, h, delta);
}

/** The address alone, with the IPv4 header's checksum; returns the delta that an L4 checksum may still need. */
export function setAddress(
  frame: Uint8Array,
  h: Headers,
  end: typeof SOURCE | typeof DESTINATION,
  words: Int32Array,
  from: number,
): number {
  const l3 = h.l3Offset;
  let delta = 0;
  if (h.version === 4) {
    delta = replaceWord(frame, l3 + (end === SOURCE ? 12 : 16), words[from]!);
    applyDelta(frame, l3 + 10, delta);
  } else {
    const offset = l3 + (end === SOURCE ? 8 : 24);
    for (let i = 0; i < 4; i++) delta += replaceWord(frame, offset + (i << 2), words[from + i]!);
  }
  return delta;
}

function replaceWord(frame: Uint8Array, offset: number, word: number): number {
  const delta = delta32(readI32(frame, offset), word);
  writeI32(frame, offset, word);
  return delta;
}
