/**
 * The stamp: the last 16 bytes of every test frame, by which its receiver knows when it was really sent.
 *
 *   magic u24, window u8 | sequence u32 | seconds u32 | nanoseconds u32      (big-endian, CLOCK_REALTIME)
 *
 * The window says in which measuring window the frame was sent, 0: in none.
 *
 * A frame is made longer to carry it, and its lengths and checksums are put right: an NF sees an ordinary packet
 * whose payload ends in the stamp. TCP sequence numbers are left alone.
 */

import { internetChecksum, l4Checksum } from '../../packet/checksum.js';
import {
  BAD_L4,
  Headers,
  L4_OTHER,
  L4_UDP,
  OK,
  parseHeaders,
  readI32,
  readU16,
  writeI32,
  writeU16,
} from '../../packet/headers.js';

export const STAMP_BYTES = 16;
const MAGIC = 0x4e454d;

/** A frame that is ready to be stamped and sent any number of times. */
export interface Template {
  readonly frame: Uint8Array;
  /** 0: enters at the NF's `--in`; 1: at its `--out`. */
  readonly direction: 0 | 1;
  /** Of the L4 checksum, 0 if it has none. */
  readonly checksumOffset: number;
  /** That checksum while the stamp is all zeros. */
  readonly checksum: number;
  readonly udp: boolean;
}

const headers = new Headers();

/** Makes a frame longer by a stamp of zeros. Frames that are no whole IP packet get it as a trailer, unchanged. */
export function makeTemplate(source: Uint8Array, length: number, direction: 0 | 1): Template {
  const code = parseHeaders(source, length, headers);
  const whole = code === OK && headers.fragment === 0;
  const trailer = code !== OK && code !== BAD_L4;
  const end = trailer ? length : headers.l3End;
  // An even start keeps the stamp's words those of the checksum, whatever the payload's length.
  const start = end + (end & 1);
  const frame = new Uint8Array(start + STAMP_BYTES);
  frame.set(source.subarray(0, end));
  if (trailer) return { frame, direction, checksumOffset: 0, checksum: 0, udp: false };

  const { l3Offset } = headers;
  const added = frame.length - end;
  if (headers.version === 4) {
    writeU16(frame, l3Offset + 2, readU16(frame, l3Offset + 2) + added);
    writeU16(frame, l3Offset + 10, 0);
    const headerEnd = l3Offset + ((frame[l3Offset]! & 15) << 2);
    writeU16(frame, l3Offset + 10, internetChecksum(frame, l3Offset, headerEnd));
  } else {
    writeU16(frame, l3Offset + 4, readU16(frame, l3Offset + 4) + added);
  }
  if (!whole || headers.l4Kind === L4_OTHER) {
    return { frame, direction, checksumOffset: 0, checksum: 0, udp: false };
  }
  const udp = headers.l4Kind === L4_UDP;
  // What follows a UDP datagram inside its IP packet is not payload: let the datagram reach to the stamp's end.
  if (udp) writeU16(frame, headers.l4Offset + 4, frame.length - headers.l4Offset);
  const without = udp && headers.version === 4 && readU16(frame, headers.l4Checksum) === 0;
  parseHeaders(frame, frame.length, headers);
  if (without || headers.l4Checksum === 0) return { frame, direction, checksumOffset: 0, checksum: 0, udp };
  const checksum = l4Checksum(frame, headers);
  return { frame, direction, checksumOffset: headers.l4Checksum, checksum, udp };
}

/** Writes the stamp into a copy of the template's frame and puts its checksum right. Allocates nothing. */
export function writeStamp(
  frame: Uint8Array,
  template: Template,
  window: number,
  sequence: number,
  seconds: number,
  nanoseconds: number,
): void {
  const start = template.frame.length - STAMP_BYTES;
  const first = (MAGIC << 8) | window;
  writeI32(frame, start, first);
  writeI32(frame, start + 4, sequence);
  writeI32(frame, start + 8, seconds);
  writeI32(frame, start + 12, nanoseconds);
  if (template.checksumOffset === 0) return;
  let sum = ~template.checksum & 0xffff;
  sum += (first >>> 16) + (first & 0xffff) + (sequence >>> 16) + (sequence & 0xffff);
  sum += (seconds >>> 16) + (seconds & 0xffff) + (nanoseconds >>> 16) + (nanoseconds & 0xffff);
  sum = (sum & 0xffff) + (sum >>> 16);
  sum = (sum & 0xffff) + (sum >>> 16);
  const checksum = ~sum & 0xffff;
  writeU16(frame, template.checksumOffset, checksum === 0 && template.udp ? 0xffff : checksum);
}

/** The window in the stamp at the end of `bytes[start..end)`; -1 without a stamp. */
export function stampWindow(bytes: Uint8Array, start: number, end: number): number {
  if (end - start < STAMP_BYTES) return -1;
  const first = readI32(bytes, end - STAMP_BYTES);
  return first >>> 8 === MAGIC ? first & 0xff : -1;
}

/** Counts up over all frames; of a frame that has a stamp and ends at `end`. */
export function stampSequence(bytes: Uint8Array, end: number): number {
  return readI32(bytes, end - 12) >>> 0;
}

/** From the stamped send time to the given time, nanoseconds; negative if the clock was set back in between. */
export function sinceStampNs(bytes: Uint8Array, end: number, seconds: number, nanoseconds: number): number {
  return (seconds - (readI32(bytes, end - 8) >>> 0)) * 1e9 + (nanoseconds - (readI32(bytes, end - 4) >>> 0));
}
