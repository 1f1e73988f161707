/**
 * Builds one well-formed frame with right checksums: for tests and for synthetic traffic, made ahead of time. It
 * allocates and checks its arguments (RangeError), so it has no place on the packet path.
 */

import { addressWords, macBytes } from './address.js';
import { internetChecksum, l4Checksum } from './checksum.js';
import { ETHER_IPV4, ETHER_IPV6, Headers, OK, parseHeaders, TCP_ACK, writeI32, writeU16 } from './headers.js';

export interface FrameSpec {
  protocol: 'udp' | 'tcp' | 'icmp-request' | 'icmp-reply';
  /** Both of one version, which decides that of the packet. */
  source: string;
  destination: string;
  /** For ICMP echo `sourcePort` is the identifier. */
  sourcePort?: number;
  destinationPort?: number;
  payload?: Uint8Array;
  /** TTL or hop limit; 64. */
  ttl?: number;
  tcpFlags?: number;
  tcpSequence?: number;
  ipv4Identification?: number;
  /** A multiple of four bytes. */
  ipv4Options?: Uint8Array;
  vlan?: number;
  sourceMac?: string;
  destinationMac?: string;
  /** UDP over IPv4 without a checksum. */
  noUdpChecksum?: boolean;
}

const L4_BYTES = { udp: 8, tcp: 20, 'icmp-request': 8, 'icmp-reply': 8 } as const;

/** Bytes of a frame before its payload (no options, no VLAN). */
export function headerBytes(protocol: FrameSpec['protocol'], version: 4 | 6): number {
  return 14 + (version === 4 ? 20 : 40) + L4_BYTES[protocol];
}

export function buildFrame(spec: FrameSpec): Uint8Array {
  const source = addressWords(spec.source);
  const destination = addressWords(spec.destination);
  if (source === undefined || destination?.version !== source.version) {
    throw new RangeError(`${spec.source} and ${spec.destination} are not two addresses of one IP version`);
  }
  const v4 = source.version === 4;
  const options = (v4 && spec.ipv4Options) || new Uint8Array(0);
  const payload = spec.payload ?? new Uint8Array(0);
  if (options.length % 4 !== 0 || options.length > 40)
    throw new RangeError('IPv4 options: 0..40 bytes, by fours');

  const l3 = spec.vlan === undefined ? 14 : 18;
  const l4 = l3 + (v4 ? 20 + options.length : 40);
  const l4Length = L4_BYTES[spec.protocol] + payload.length;
  if (l4 - l3 + l4Length > 0xffff) throw new RangeError('the packet is longer than 65,535 bytes');
  const frame = new Uint8Array(l4 + l4Length);

  frame.set(mac(spec.destinationMac ?? '02:00:00:00:00:02'), 0);
  frame.set(mac(spec.sourceMac ?? '02:00:00:00:00:01'), 6);
  if (spec.vlan !== undefined) {
    writeU16(frame, 12, 0x8100);
    writeU16(frame, 14, spec.vlan);
  }
  writeU16(frame, l3 - 2, v4 ? ETHER_IPV4 : ETHER_IPV6);
  const protocol = spec.protocol === 'udp' ? 17 : spec.protocol === 'tcp' ? 6 : v4 ? 1 : 58;
  if (v4) {
    frame[l3] = 0x45 + options.length / 4;
    writeU16(frame, l3 + 2, l4 - l3 + l4Length);
    writeU16(frame, l3 + 4, spec.ipv4Identification ?? 0);
    frame[l3 + 8] = spec.ttl ?? 64;
    frame[l3 + 9] = protocol;
    writeI32(frame, l3 + 12, source.words[0]!);
    writeI32(frame, l3 + 16, destination.words[0]!);
    frame.set(options, l3 + 20);
    writeU16(frame, l3 + 10, internetChecksum(frame, l3, l4));
  } else {
    frame[l3] = 0x60;
    writeU16(frame, l3 + 4, l4Length);
    frame[l3 + 6] = protocol;
    frame[l3 + 7] = spec.ttl ?? 64;
    for (let i = 0; i < 4; i++) {
      writeI32(frame, l3 + 8 + 4 * i, source.words[i]!);
      writeI32(frame, l3 + 24 + 4 * i, destination.words[i]!);
    }
  }
  writeL4(frame, l4, l4Length, v4, spec);
  frame.set(payload, l4 + L4_BYTES[spec.protocol]);
  writeChecksum(frame, v4 && spec.protocol === 'udp' && spec.noUdpChecksum === true);
  return frame;
}

function mac(text: string): Uint8Array {
  const bytes = macBytes(text);
  if (bytes === undefined) throw new RangeError(`${text} is not a MAC address`);
  return bytes;
}

function writeL4(frame: Uint8Array, l4: number, l4Length: number, v4: boolean, spec: FrameSpec): void {
  const sourcePort = spec.sourcePort ?? 1000;
  if (spec.protocol === 'udp' || spec.protocol === 'tcp') {
    writeU16(frame, l4, sourcePort);
    writeU16(frame, l4 + 2, spec.destinationPort ?? 2000);
  }
  if (spec.protocol === 'udp') writeU16(frame, l4 + 4, l4Length);
  else if (spec.protocol === 'tcp') {
    writeI32(frame, l4 + 4, spec.tcpSequence ?? 1);
    frame[l4 + 12] = 5 << 4;
    frame[l4 + 13] = spec.tcpFlags ?? TCP_ACK;
    writeU16(frame, l4 + 14, 0xffff);
  } else {
    frame[l4] = spec.protocol === 'icmp-request' ? (v4 ? 8 : 128) : v4 ? 0 : 129;
    writeU16(frame, l4 + 4, sourcePort);
    writeU16(frame, l4 + 6, 1);
  }
}

function writeChecksum(frame: Uint8Array, none: boolean): void {
  const headers = new Headers();
  const code = parseHeaders(frame, frame.length, headers);
  if (code !== OK) throw new RangeError(`the built frame does not parse: code ${code}`);
  if (!none) writeU16(frame, headers.l4Checksum, l4Checksum(frame, headers));
}
