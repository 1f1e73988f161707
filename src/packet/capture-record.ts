/** What the readers of the capture formats share: a packet as it stands in the file, and how damage is reported. */

import { NemoError } from '../model/errors.js';

/** Before sorting: seconds and nanoseconds apart, because their sum since 1970 exceeds 2^53. */
export interface RawPacket {
  seconds: number;
  nanoseconds: number;
  bytes: Uint8Array;
  originalLength: number;
}

export const LINKTYPE_ETHERNET = 1;
/** Longer "packets" are damage: it is also libpcap's limit. */
export const PACKET_MAX_BYTES = 262_144;

/** What an interface sees of a frame: without the frame check sequence that some captures keep, as far as they hold it. */
export function withoutFcs(
  bytes: Uint8Array,
  originalLength: number,
  fcsBytes: number,
): { bytes: Uint8Array; originalLength: number } {
  if (fcsBytes === 0) return { bytes, originalLength };
  const cut = Math.max(0, originalLength - bytes.length);
  const kept = bytes.length - Math.max(0, fcsBytes - cut);
  return { bytes: bytes.subarray(0, Math.max(0, kept)), originalLength: originalLength - fcsBytes };
}

export function badCapture(path: string, offset: number, what: string): NemoError {
  return new NemoError('BAD_CAPTURE', `${path}: ${what} (at byte ${offset})`, {
    hint: 'Captures must be pcap or pcapng files of Ethernet packets, complete to the last byte, and not compressed.',
    details: { path, offset },
  });
}
