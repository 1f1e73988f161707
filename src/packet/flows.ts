/**
 * Synthetic frames of many flows, made ahead of time, for traffic without a capture. Easy to get wrong: sizes are whole
 * Ethernet frames without the frame check sequence, so the "64-byte packet" of benchmarks is 60 here.
 */

import { NemoError } from '../model/errors.js';
import { buildFrame, headerBytes } from './build.js';
import { Random } from './random.js';

/** Frame sizes and how often each occurs, in any unit. */
export type SizeMix = ReadonlyArray<{ bytes: number; share: number }>;

/** The customary simple internet mix, 7:4:1. */
export const IMIX: SizeMix = [
  { bytes: 60, share: 7 },
  { bytes: 590, share: 4 },
  { bytes: 1514, share: 1 },
];

export interface FlowOptions {
  flows: number;
  /** Frames to make; the sender goes round them. At least one per flow, which is the default. */
  frames?: number;
  /** Share of the flows that are IPv6; 0. */
  ipv6Ratio?: number;
  /** Default: all 60 bytes. Smaller than the headers and `payloadMinBytes`: enlarged. */
  sizes?: SizeMix;
  /** Room for what the sender writes into each payload; 0. */
  payloadMinBytes?: number;
  /** How unequal flows are: frame i > flows is of flow k with weight 1 / k^skew (Zipf). 0: all alike. */
  skew?: number;
  protocol?: 'udp' | 'tcp';
  seed: number;
  sourceMac?: string;
  destinationMac?: string;
}

/** Frames from 10.0.0.0/9 to 10.128.0.0/9 (fd00:1::/64 to fd00:2::/64). The first `flows` are one of each flow. */
export function makeFlowFrames(options: FlowOptions): Uint8Array[] {
  const { flows, seed, ipv6Ratio = 0, payloadMinBytes = 0, skew = 0, protocol = 'udp' } = options;
  const frames = options.frames ?? flows;
  if (!(flows >= 1 && flows <= 1_000_000 && frames >= flows)) {
    throw new NemoError(
      'BAD_CONFIG',
      `flows: expected 1..1000000 and as many frames, got ${flows} and ${frames}`,
    );
  }
  const random = new Random(seed);
  const sizeOf = pickBySize(options.sizes ?? [{ bytes: 60, share: 1 }]);
  const flowOf = pickByRank(flows, skew);
  const macs = {
    ...(options.sourceMac === undefined ? {} : { sourceMac: options.sourceMac }),
    ...(options.destinationMac === undefined ? {} : { destinationMac: options.destinationMac }),
  };
  const ipv6Flows = Math.round(flows * ipv6Ratio);
  return Array.from({ length: frames }, (_, i) => {
    const flow = i < flows ? i : flowOf(random.unit());
    // Spread evenly over the ranks: the popular flows are of both versions.
    const v6 = Math.floor(((flow + 1) * ipv6Flows) / flows) > Math.floor((flow * ipv6Flows) / flows);
    const headers = headerBytes(protocol, v6 ? 6 : 4);
    const payload = new Uint8Array(Math.max(sizeOf(random.unit()) - headers, payloadMinBytes, 0));
    for (let at = 0; at < payload.length; at++) payload[at] = random.u32();
    const host = `${(flow >>> 16) & 0x7f}.${(flow >>> 8) & 0xff}.${flow & 0xff}`;
    const group = `${(flow >>> 16).toString(16)}:${(flow & 0xffff).toString(16)}`;
    return buildFrame({
      protocol,
      source: v6 ? `fd00:1::${group}` : `10.${host}`,
      destination: v6
        ? `fd00:2::${group}`
        : `10.${128 | ((flow >>> 16) & 0x7f)}.${(flow >>> 8) & 0xff}.${flow & 0xff}`,
      sourcePort: 1024 + (flow % 60_000),
      destinationPort: protocol === 'udp' ? 4_000 : 80,
      payload,
      ...macs,
    });
  });
}

function pickBySize(sizes: SizeMix): (unit: number) => number {
  const total = sizes.reduce((sum, { share }) => sum + share, 0);
  if (!(total > 0) || sizes.some(({ bytes, share }) => !(bytes >= 1 && bytes <= 65_535 && share >= 0))) {
    throw new NemoError('BAD_CONFIG', 'sizes: expected frame sizes of 1..65535 bytes with shares above 0');
  }
  return (unit) => {
    let left = unit * total;
    for (const { bytes, share } of sizes) {
      left -= share;
      if (left < 0) return bytes;
    }
    return sizes[sizes.length - 1]!.bytes;
  };
}

function pickByRank(flows: number, skew: number): (unit: number) => number {
  if (skew === 0) return (unit) => Math.floor(unit * flows);
  const cumulative = new Float64Array(flows);
  let sum = 0;
  for (let rank = 0; rank < flows; rank++) cumulative[rank] = sum += 1 / (rank + 1) ** skew;
  return (unit) => {
    const wanted = unit * sum;
    let low = 0;
    for (let high = flows - 1; low < high; ) {
      const middle = (low + high) >>> 1;
      if (cumulative[middle]! > wanted) high = middle;
      else low = middle + 1;
    }
    return low;
  };
}
