/**
 * Reads the headers of one Ethernet frame (VLAN, IPv4 with options, IPv6 with extension headers, TCP, UDP, ICMP) into
 * one struct that is used again for every frame: nothing is allocated. Easy to get wrong: `parseHeaders` overwrites
 * the struct, and after a code other than OK only the fields named at that code hold.
 *
 * The tuple is the flow key, ten 32-bit words in network order read as signed integers:
 *   0..3 source address (IPv4: word 0, the others 0)   4..7 destination   8 source port << 16 | destination port
 *   9 IP version << 8 | protocol
 * An ICMP echo carries its identifier as the port of the side that asked, so requests and replies mirror each other.
 */

/** All fields hold (those of L4 only if `l4Kind` is not `L4_OTHER`). */
export const OK = 0;
/** Not an IP packet (ARP, LLDP, ...): nothing holds but `l3Offset` and `fragment`, 0. Not broken. */
export const NOT_IP = 1;
/** A fragment without its L4 header: the L3 fields hold. Not broken, but a flow cannot be told. */
export const FRAGMENT = 2;
/** The L4 header, or an IPv6 extension header, is cut short or lies about a length: the L3 fields hold. */
export const BAD_L4 = 3;
/** The frame ends before its IP packet does. */
export const TRUNCATED = 4;
/** EtherType and IP version contradict each other. */
export const BAD_VERSION = 5;
/** The IP header lies about a length. */
export const BAD_LENGTH = 6;

export type ParseCode = 0 | 1 | 2 | 3 | 4 | 5 | 6;

export const L4_OTHER = 0;
export const L4_TCP = 1;
export const L4_UDP = 2;
/** An ICMP or ICMPv6 echo request or reply: the tuple has the identifier. */
export const L4_ECHO = 3;
/** Any other ICMP or ICMPv6. */
export const L4_ICMP = 4;

export const PROTOCOL_ICMP = 1;
export const PROTOCOL_TCP = 6;
export const PROTOCOL_UDP = 17;
export const PROTOCOL_ICMP6 = 58;

export const TCP_FIN = 1;
export const TCP_SYN = 2;
export const TCP_RST = 4;
export const TCP_PSH = 8;
export const TCP_ACK = 16;

export const ETHER_IPV4 = 0x0800;
export const ETHER_IPV6 = 0x86dd;
export const TUPLE_WORDS = 10;

export class Headers {
  /** Offsets are from the start of the frame, bytes. */
  l3Offset = 0;
  /** 4 or 6. */
  version = 0;
  /** End of the IP packet; what follows is Ethernet padding. */
  l3End = 0;
  /** The first protocol number that is not an IPv6 extension header. */
  protocol = 0;
  ttl = 0;
  l4Offset = 0;
  l4Kind = 0;
  /** Offset of the L4 checksum; 0 if there is none to keep. */
  l4Checksum = 0;
  payloadOffset = 0;
  payloadEnd = 0;
  /** 0 no fragment, 1 the first, 2 a later one. */
  fragment = 0;
  /** Of a fragment only: which packet it is of, and where in that it lies, bytes. */
  fragmentId = 0;
  fragmentOffset = 0;
  tcpFlags = 0;
  icmpType = 0;
  readonly tuple = new Int32Array(TUPLE_WORDS);

  get sourcePort(): number {
    return this.tuple[8]! >>> 16;
  }

  get destinationPort(): number {
    return this.tuple[8]! & 0xffff;
  }
}

export function readU16(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 8) | bytes[offset + 1]!;
}

/** Big-endian 32 bits as a signed integer. */
export function readI32(bytes: Uint8Array, offset: number): number {
  return (bytes[offset]! << 24) | (bytes[offset + 1]! << 16) | (bytes[offset + 2]! << 8) | bytes[offset + 3]!;
}

export function writeU16(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 8;
  bytes[offset + 1] = value;
}

export function writeI32(bytes: Uint8Array, offset: number, value: number): void {
  bytes[offset] = value >>> 24;
  bytes[offset + 1] = value >>> 16;
  bytes[offset + 2] = value >>> 8;
  bytes[offset + 3] = value;
}

/** Parses the frame in `frame[0..length)` into `h`. Never throws. */
export function parseHeaders(frame: Uint8Array, length: number, h: Headers): ParseCode {
  h.fragment = 0;
  if (length > frame.length || length < 14) return TRUNCATED;
  let offset = 12;
  let etherType = readU16(frame, offset);
  // At most two tags, as 802.1ad has it.
  for (let tags = 0; tags < 2 && isVlan(etherType); tags++) {
    offset += 4;
    if (offset + 2 > length) return TRUNCATED;
    etherType = readU16(frame, offset);
  }
  h.l3Offset = offset + 2;
  if (etherType === ETHER_IPV4) return parseIpv4(frame, length, h);
  if (etherType === ETHER_IPV6) return parseIpv6(frame, length, h);
  return NOT_IP;
}

export function isVlan(etherType: number): boolean {
  return etherType === 0x8100 || etherType === 0x88a8 || etherType === 0x9100;
}

function parseIpv4(frame: Uint8Array, length: number, h: Headers): ParseCode {
  const l3 = h.l3Offset;
  if (l3 + 20 > length) return TRUNCATED;
  const first = frame[l3]!;
  if (first >>> 4 !== 4) return BAD_VERSION;
  const headerLength = (first & 15) << 2;
  const totalLength = readU16(frame, l3 + 2);
  if (headerLength < 20 || totalLength < headerLength) return BAD_LENGTH;
  if (l3 + totalLength > length) return TRUNCATED;
  h.version = 4;
  h.l3End = l3 + totalLength;
  h.ttl = frame[l3 + 8]!;
  h.protocol = frame[l3 + 9]!;
  const tuple = h.tuple;
  tuple[0] = readI32(frame, l3 + 12);
  tuple[4] = readI32(frame, l3 + 16);
  tuple[1] = tuple[2] = tuple[3] = tuple[5] = tuple[6] = tuple[7] = 0;
  const fragmentField = readU16(frame, l3 + 6);
  if ((fragmentField & 0x3fff) !== 0) {
    h.fragment = fragmentField & 0x1fff ? 2 : 1;
    h.fragmentId = readU16(frame, l3 + 4);
    h.fragmentOffset = (fragmentField & 0x1fff) << 3;
  }
  return parseL4(frame, l3 + headerLength, h);
}

function parseIpv6(frame: Uint8Array, length: number, h: Headers): ParseCode {
  const l3 = h.l3Offset;
  if (l3 + 40 > length) return TRUNCATED;
  if (frame[l3]! >>> 4 !== 6) return BAD_VERSION;
  const end = l3 + 40 + readU16(frame, l3 + 4);
  if (end > length) return TRUNCATED;
  h.version = 6;
  h.l3End = end;
  h.ttl = frame[l3 + 7]!;
  const tuple = h.tuple;
  for (let word = 0; word < 8; word++) tuple[word] = readI32(frame, l3 + 8 + (word << 2));
  let next = frame[l3 + 6]!;
  let offset = l3 + 40;
  // Each extension header has at least 8 bytes, so the packet's end bounds this loop.
  while (isExtension(next)) {
    if (offset + 8 > end) return brokenChain(h, next, offset);
    let size = (frame[offset + 1]! + 1) << 3;
    if (next === 44) {
      size = 8;
      const field = readU16(frame, offset + 2);
      // An "atomic" fragment (offset 0, no more) is a whole packet: RFC 6946.
      if (h.fragment !== 2) h.fragment = field & 0xfff8 ? 2 : field & 1 ? 1 : h.fragment;
      h.fragmentId = readI32(frame, offset + 4);
      h.fragmentOffset = field & 0xfff8;
    } else if (next === 51) size = (frame[offset + 1]! + 2) << 2;
    if (offset + size > end) return brokenChain(h, next, offset);
    next = frame[offset]!;
    offset += size;
    // What follows in a later fragment is payload, whatever `next` says.
    if (h.fragment === 2) break;
  }
  h.protocol = next;
  return parseL4(frame, offset, h);
}

/** Hop-by-hop, routing, fragment, authentication, destination options, mobility, HIP, shim6: RFC 7045. */
function isExtension(protocol: number): boolean {
  return (
    protocol === 0 ||
    protocol === 43 ||
    protocol === 44 ||
    protocol === 51 ||
    protocol === 60 ||
    protocol === 135 ||
    protocol === 139 ||
    protocol === 140
  );
}

function brokenChain(h: Headers, protocol: number, offset: number): ParseCode {
  h.protocol = protocol;
  clearL4(h, offset);
  return BAD_L4;
}

function clearL4(h: Headers, offset: number): void {
  h.l4Offset = offset;
  h.l4Kind = L4_OTHER;
  h.l4Checksum = 0;
  h.payloadOffset = offset;
  h.payloadEnd = h.l3End;
  h.tcpFlags = 0;
  h.icmpType = -1;
  h.tuple[8] = 0;
  h.tuple[9] = (h.version << 8) | h.protocol;
}

function parseL4(frame: Uint8Array, offset: number, h: Headers): ParseCode {
  clearL4(h, offset);
  if (h.fragment === 2) return FRAGMENT;
  const room = h.l3End - offset;
  const protocol = h.protocol;
  if (protocol === PROTOCOL_TCP) {
    if (room < 20) return BAD_L4;
    const headerLength = (frame[offset + 12]! >>> 4) << 2;
    if (headerLength < 20 || headerLength > room) return BAD_L4;
    h.tcpFlags = frame[offset + 13]!;
    h.l4Checksum = offset + 16;
    h.payloadOffset = offset + headerLength;
    h.tuple[8] = readI32(frame, offset);
    h.l4Kind = L4_TCP;
  } else if (protocol === PROTOCOL_UDP) {
    if (room < 8) return BAD_L4;
    const udpLength = readU16(frame, offset + 4);
    if (udpLength < 8 || (udpLength > room && h.fragment === 0)) return BAD_L4;
    h.l4Checksum = offset + 6;
    h.payloadOffset = offset + 8;
    if (udpLength < room) h.payloadEnd = offset + udpLength;
    h.tuple[8] = readI32(frame, offset);
    h.l4Kind = L4_UDP;
  } else if (protocol === (h.version === 4 ? PROTOCOL_ICMP : PROTOCOL_ICMP6)) {
    if (room < 8) return BAD_L4;
    const type = frame[offset]!;
    h.icmpType = type;
    h.l4Checksum = offset + 2;
    h.payloadOffset = offset + 8;
    h.l4Kind = L4_ICMP;
    const request = h.version === 4 ? 8 : 128;
    const reply = h.version === 4 ? 0 : 129;
    if (type === request || type === reply) {
      const identifier = readU16(frame, offset + 4);
      h.tuple[8] = type === request ? identifier << 16 : identifier;
      h.l4Kind = L4_ECHO;
    }
  }
  return OK;
}
