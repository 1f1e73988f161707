/**
 * Reads a packet capture into memory: classic pcap (both byte orders, micro- and nanoseconds) and pcapng (see
 * pcapng.ts), Ethernet only. Packets come out sorted by time, equal times in file order: captures are often not.
 * Easy to get wrong: `bytes` are views of the file's one buffer; copy before changing them.
 */

import { readFileSync } from 'node:fs';
import { NemoError } from '../model/errors.js';
import {
  badCapture,
  LINKTYPE_ETHERNET,
  PACKET_MAX_BYTES,
  type RawPacket,
  withoutFcs,
} from './capture-record.js';
import { isPcapng, readPcapng } from './pcapng.js';

export interface CapturedPacket {
  /** From the first packet, whole nanoseconds. */
  timeNs: number;
  bytes: Uint8Array;
  /** On the wire; more than `bytes.length` if the capture cut the packet. */
  originalLength: number;
}

export interface Capture {
  packets: CapturedPacket[];
  /** From the first packet to the last. */
  durationNs: number;
}

const HEADER_BYTES = 24;
const RECORD_BYTES = 16;

/** Throws NOT_FOUND, or BAD_CAPTURE naming the file and the byte offset. */
export function readCapture(path: string): Capture {
  let file: Buffer;
  try {
    file = readFileSync(path);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ENOENT';
    throw new NemoError(
      missing ? 'NOT_FOUND' : 'BAD_CAPTURE',
      `cannot read the capture ${path}: ${(cause as Error).message}`,
      {
        cause,
      },
    );
  }
  return parseCapture(file, path);
}

/** The same for a file's content; `path` is for messages. */
export function parseCapture(file: Uint8Array, path: string): Capture {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const raw = isPcapng(view) ? readPcapng(file, view, path) : readPcap(file, view, path);
  const first = raw.reduce<RawPacket | undefined>(
    (a, b) => (a === undefined || compare(b, a) < 0 ? b : a),
    undefined,
  );
  if (first === undefined) throw badCapture(path, file.length, 'it holds no packets');
  const packets = raw.map(
    (packet): CapturedPacket => ({
      timeNs: (packet.seconds - first.seconds) * 1e9 + (packet.nanoseconds - first.nanoseconds),
      bytes: packet.bytes,
      originalLength: packet.originalLength,
    }),
  );
  packets.sort((a, b) => a.timeNs - b.timeNs);
  return { packets, durationNs: packets[packets.length - 1]!.timeNs };
}

function compare(a: RawPacket, b: RawPacket): number {
  return a.seconds - b.seconds || a.nanoseconds - b.nanoseconds;
}

function readPcap(file: Uint8Array, view: DataView, path: string): RawPacket[] {
  if (file.length < 4) throw badCapture(path, file.length, 'too short to be a capture');
  const magic = view.getUint32(0, true);
  const little = magic === 0xa1b2c3d4 || magic === 0xa1b23c4d;
  if (!little && magic !== 0xd4c3b2a1 && magic !== 0x4d3cb2a1)
    throw badCapture(path, 0, 'not a pcap or pcapng file');
  if (file.length < HEADER_BYTES) throw badCapture(path, file.length, 'the file header is cut short');
  const nsPerTick = magic === 0xa1b23c4d || magic === 0x4d3cb2a1 ? 1 : 1_000;
  const link = view.getUint32(20, little);
  const linkType = link & 0xffff;
  // The upper bits may say that packets end in a frame check sequence, of so many 16-bit words.
  const fcsBytes = (link & 0x04000000) === 0 ? 0 : (link >>> 28) * 2;
  if (linkType !== LINKTYPE_ETHERNET) throw badCapture(path, 20, `link type ${linkType} is not Ethernet`);
  const packets: RawPacket[] = [];
  for (let at = HEADER_BYTES; at < file.length; ) {
    if (at + RECORD_BYTES > file.length)
      throw badCapture(path, at, 'truncated inside a packet record header');
    const captured = view.getUint32(at + 8, little);
    if (captured > PACKET_MAX_BYTES)
      throw badCapture(path, at + 8, `a packet of ${captured} bytes cannot be`);
    const start = at + RECORD_BYTES;
    if (start + captured > file.length) throw badCapture(path, at, 'truncated inside a packet');
    // Some tools write fractions beyond a second (openNetVM's captures do): carry them over.
    const fractionNs = view.getUint32(at + 4, little) * nsPerTick;
    packets.push({
      seconds: view.getUint32(at, little) + Math.floor(fractionNs / 1e9),
      nanoseconds: fractionNs % 1e9,
      ...withoutFcs(file.subarray(start, start + captured), view.getUint32(at + 12, little), fcsBytes),
    });
    at = start + captured;
  }
  return packets;
}
