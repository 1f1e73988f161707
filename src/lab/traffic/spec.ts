/** What traffic to make, what is measured of it, and the messages between the traffic process and its owner. */

import { asNemoError, type ErrorCode, NemoError } from '../../model/errors.js';

export type TrafficSpec = {
  /** The run ends by itself after this; without it, when another run or `stop` comes. */
  seconds?: number;
  /** Makes Poisson and bursty arrivals repeatable. */
  seed?: number;
} & (
  | ({ kind: 'rate'; packetsPerS: number } & SyntheticFrames)
  | ({ kind: 'poisson'; packetsPerS: number } & SyntheticFrames)
  | ({
      kind: 'bursty';
      /** Mean over bursts and pauses. */
      packetsPerS: number;
      /** Mean lengths of a burst and of the pause after it. */
      onMs: number;
      offMs: number;
    } & SyntheticFrames)
  | {
      kind: 'capture';
      /** A pcap file. It is replayed again and again until the run ends. */
      path: string;
      /** 2: twice as fast as it was captured. Ignored with `packetsPerS`. Default 1. */
      speed?: number;
      /** Its packets in their order, at this fixed rate. */
      packetsPerS?: number;
    }
);

/** UDP datagrams of a number of flows, in turn. */
export interface SyntheticFrames {
  /** Default 64. */
  flows?: number;
  /** Before the stamp. Default 60: the smallest Ethernet frame. */
  frameBytes?: number;
  /** Share of the flows that are IPv6. Default 0. */
  ipv6Ratio?: number;
  /** Every other packet is an answer, sent from the far side. Default false. */
  bothWays?: boolean;
}

/** Microseconds; null without an observation. */
export interface Quantiles {
  p50: number | null;
  p90: number | null;
  p99: number | null;
  p999: number | null;
  max: number | null;
}

/** Of one window. A packet counts where it was sent, however late it arrives. */
export interface TrafficReport {
  seconds: number;
  sent: number;
  received: number;
  /** Sent in the window and not received when the drain time after it was over. */
  lost: number;
  duplicates: number;
  reordered: number;
  /** Packets per second really sent. */
  rate: number;
  /** Due but not sent: the generator was stalled for too long, or its ring was full. */
  notSent: number;
  /** Lost because the *receiver* had no slot: such a window says nothing about the NF's loss. */
  missedByReceiver: number;
  /** Transit through the NF: kernel receive time - real send time. */
  latency_us: Quantiles;
  /** Of the same, points [microseconds, share not slower], rising; at most 60. */
  latency_cdf: Array<[number, number]>;
  /** Of the generator: real send time - intended send time. */
  lateness_us: Quantiles;
  /** Of an idle real-time timer thread on the same core: what the host alone does to a latency. */
  noise_us: Quantiles;
}

/** Totals since the process started, for a live view. */
export interface TrafficTotals {
  sent: number;
  notSent: number;
  foreign: number;
}

export interface TrafficProcessOptions {
  /** Where direction 0 enters the NF's side, and where it comes out again: names in this process's namespace. */
  near: string;
  far: string;
  /** Measure the host's noise by a real-time timer thread. */
  noiseProbe: boolean;
}

export type TrafficRequest = { id: number } & (
  | { op: 'open'; options: TrafficProcessOptions }
  | { op: 'run'; spec: TrafficSpec }
  | { op: 'stop' }
  | { op: 'mark' }
  | { op: 'report'; drainMs: number }
  | { op: 'totals' }
);

export type TrafficReply =
  | { id: number; result: unknown }
  | { id: number; error: WireError }
  /** Not an answer: a thread of the process failed, and nothing works any more. */
  | { fatal: WireError }
  /** Not an answer: the run with a limit is over. */
  | { ended: true };

/** An error between threads and processes, where classes are lost. */
export type WireError = ReturnType<NemoError['toJSON']>['error'];

export function errorToWire(thrown: unknown): WireError {
  return asNemoError(thrown).toJSON().error;
}

export function errorFromWire(error: WireError): NemoError {
  const { code, message, hint, details } = error;
  return new NemoError(code as ErrorCode, message, {
    ...(hint === undefined ? {} : { hint }),
    ...(details === undefined ? {} : { details: details as Record<string, string | number | boolean> }),
  });
}
