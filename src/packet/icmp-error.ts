/**
 * The packet that an ICMP error quotes: the key to the flow that it is about. Easy to get wrong: the quote may end 8
 * bytes after its IP header, so a TCP checksum is mostly not there, and its lengths are those of the whole packet.
 */

import {
  type Headers,
  L4_ECHO,
  L4_ICMP,
  L4_OTHER,
  L4_TCP,
  L4_UDP,
  PROTOCOL_ICMP,
  PROTOCOL_ICMP6,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
  readI32,
  readU16,
} from './headers.js';

/**
 * If the parsed packet `h` is an ICMP error that quotes a TCP, UDP or echo packet, true, and `quoted` has its version,
 * protocol, l3Offset, l4Offset, l4Kind, l4Checksum (0 if not quoted) and tuple. IPv6 extension headers in a quote: false.
 */
export function parseIcmpError(frame: Uint8Array, h: Headers, quoted: Headers): boolean {
  if (h.l4Kind !== L4_ICMP || h.fragment !== 0 || !isError(h.version, h.icmpType)) return false;
  const l3 = h.payloadOffset;
  const v4 = h.version === 4;
  if (l3 + (v4 ? 20 : 40) > h.l3End || frame[l3]! >>> 4 !== h.version) return false;
  const headerLength = v4 ? (frame[l3]! & 15) << 2 : 40;
  const l4 = l3 + headerLength;
  if (headerLength < 20 || l4 + 8 > h.l3End) return false;
  // A later fragment has no ports.
  if (v4 && (readU16(frame, l3 + 6) & 0x1fff) !== 0) return false;

  const tuple = quoted.tuple;
  tuple.fill(0);
  const words = v4 ? 1 : 4;
  const addresses = l3 + (v4 ? 12 : 8);
  for (let word = 0; word < words; word++) {
    tuple[word] = readI32(frame, addresses + (word << 2));
    tuple[4 + word] = readI32(frame, addresses + ((words + word) << 2));
  }
  quoted.version = h.version;
  quoted.protocol = frame[l3 + (v4 ? 9 : 6)]!;
  quoted.l3Offset = l3;
  quoted.l4Offset = l4;
  tuple[9] = (h.version << 8) | quoted.protocol;
  return readPorts(frame, h, quoted);
}

function readPorts(frame: Uint8Array, h: Headers, quoted: Headers): boolean {
  const l4 = quoted.l4Offset;
  const protocol = quoted.protocol;
  quoted.l4Kind = L4_OTHER;
  if (protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP) {
    quoted.tuple[8] = readI32(frame, l4);
    quoted.l4Kind = protocol === PROTOCOL_TCP ? L4_TCP : L4_UDP;
    quoted.l4Checksum = protocol === PROTOCOL_UDP ? l4 + 6 : l4 + 18 <= h.l3End ? l4 + 16 : 0;
    return true;
  }
  if (protocol !== (h.version === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMP6)) return false;
  const type = frame[l4]!;
  const request = type === (h.version === 4 ? 8 : 128);
  if (!request && type !== (h.version === 4 ? 0 : 129)) return false;
  const identifier = readU16(frame, l4 + 4);
  quoted.tuple[8] = request ? identifier << 16 : identifier;
  quoted.l4Kind = L4_ECHO;
  quoted.l4Checksum = l4 + 2;
  return true;
}

/** Unreachable, time exceeded, parameter problem; in IPv6 also packet too big. */
function isError(version: number, type: number): boolean {
  return version === 4 ? type === 3 || type === 11 || type === 12 : type >= 1 && type <= 4;
}
