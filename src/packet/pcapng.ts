/**
 * The part of pcapng that holds packets with times: section headers, interfaces, enhanced packet blocks; all other
 * blocks are skipped (IETF draft-ietf-opsawg-pcapng). Easy to get wrong: byte order belongs to a section, time
 * resolution to an interface, and timestamps are 64-bit counts that no double holds exactly in nanoseconds.
 */

import { badCapture, LINKTYPE_ETHERNET, type RawPacket } from './capture-record.js';

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const ENHANCED_PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;

interface Interface {
  linkType: number;
  ticksPerSecond: number;
  offsetSeconds: number;
}

export function isPcapng(view: DataView): boolean {
  return view.byteLength >= 4 && view.getUint32(0, true) === SECTION;
}

export function readPcapng(file: Uint8Array, view: DataView, path: string): RawPacket[] {
  const packets: RawPacket[] = [];
  let interfaces: Interface[] = [];
  let little = true;
  for (let at = 0; at < file.length; ) {
    if (at + 12 > file.length) throw badCapture(path, at, 'truncated inside a block header');
    if (view.getUint32(at, true) === SECTION) {
      little = view.getUint32(at + 8, true) === BYTE_ORDER;
      if (!little && view.getUint32(at + 8, false) !== BYTE_ORDER)
        throw badCapture(path, at + 8, 'no byte order mark');
      interfaces = [];
    }
    const type = view.getUint32(at, little);
    const size = view.getUint32(at + 4, little);
    if (size < 12 || size % 4 !== 0) throw badCapture(path, at + 4, `a block of ${size} bytes cannot be`);
    if (at + size > file.length) throw badCapture(path, at, 'truncated inside a block');
    if (type === INTERFACE) interfaces.push(readInterface(view, at, at + size - 4, little, path));
    else if (type === ENHANCED_PACKET)
      packets.push(readPacket(file, view, at, size, little, interfaces, path));
    at += size;
  }
  return packets;
}

function readInterface(view: DataView, at: number, end: number, little: boolean, path: string): Interface {
  if (at + 16 > end) throw badCapture(path, at, 'an interface block is too short');
  const result: Interface = {
    linkType: view.getUint16(at + 8, little),
    ticksPerSecond: 1e6,
    offsetSeconds: 0,
  };
  for (let option = at + 16; option + 4 <= end; ) {
    const code = view.getUint16(option, little);
    const length = view.getUint16(option + 2, little);
    const value = option + 4;
    if (code === 0 || value + length > end) break;
    if (code === 9 && length >= 1) {
      const resolution = view.getUint8(value);
      result.ticksPerSecond = resolution & 0x80 ? 2 ** (resolution & 0x7f) : 10 ** resolution;
    } else if (code === 14 && length >= 8) result.offsetSeconds = Number(view.getBigInt64(value, little));
    option = value + ((length + 3) & ~3);
  }
  return result;
}

function readPacket(
  file: Uint8Array,
  view: DataView,
  at: number,
  size: number,
  little: boolean,
  interfaces: Interface[],
  path: string,
): RawPacket {
  const start = at + 28;
  if (size < 32) throw badCapture(path, at, 'a packet block is too short');
  const from = interfaces[view.getUint32(at + 8, little)];
  if (from === undefined) throw badCapture(path, at + 8, 'a packet of an interface that was not described');
  if (from.linkType !== LINKTYPE_ETHERNET)
    throw badCapture(path, at, `link type ${from.linkType} is not Ethernet`);
  const captured = view.getUint32(at + 20, little);
  if (start + captured > at + size - 4) throw badCapture(path, at + 20, 'a packet is longer than its block');
  const ticks = (BigInt(view.getUint32(at + 12, little)) << 32n) | BigInt(view.getUint32(at + 16, little));
  const perSecond = BigInt(from.ticksPerSecond);
  return {
    seconds: Number(ticks / perSecond) + from.offsetSeconds,
    nanoseconds: Number(((ticks % perSecond) * 1_000_000_000n) / perSecond),
    bytes: file.subarray(start, start + captured),
    originalLength: view.getUint32(at + 24, little),
  };
}
