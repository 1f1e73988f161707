/**
 * A traffic specification made ready to send: stamped frames in their order and the times at which they are due. Frames
 * of a capture keep their sides: who spoke first in a flow is inside, who answers is outside.
 */

import { NemoError } from '../../model/errors.js';
import { makeFlowFrames } from '../../packet/flows.js';
import { Headers, NOT_IP, OK, parseHeaders } from '../../packet/headers.js';
import { cutSegments } from '../../packet/offloads.js';
import { type CapturedPacket, readCapture } from '../../packet/pcap.js';
import { FixedRate, OnOff, Poisson, Replay, type Schedule } from '../../packet/schedule.js';
import { TRAFFIC } from '../../tunables/index.js';
import type { SyntheticFrames, TrafficSpec } from './spec.js';
import { makeTemplate, type Template } from './stamp.js';

/** A burst is never capped below this: it must hold what a short stall leaves behind. */
const BURST_MIN = 32;
/** Of a frame before it has its stamp. */
const FRAME_MAX_BYTES = TRAFFIC.frameMaxBytes - 32;

export class Workload {
  /** When the next frame is due, nanoseconds since the start of the run; Infinity when there is none. */
  dueNs = 0;
  template: Template;
  private index = -1;

  /** `burstMax`: frames that may be sent at one waking; what the workload itself asks for, twice over. */
  constructor(
    private readonly schedule: Schedule,
    private readonly templates: readonly Template[],
    readonly burstMax: number,
  ) {
    this.template = templates[0]!;
    this.advance();
  }

  advance(): void {
    const dueNs = this.schedule.nextNs();
    this.dueNs = dueNs < 0 ? Number.POSITIVE_INFINITY : dueNs;
    this.index = this.index + 1 === this.templates.length ? 0 : this.index + 1;
    this.template = this.templates[this.index]!;
  }
}

/** Throws NOT_FOUND, BAD_CAPTURE, BAD_CONFIG. */
export function prepareWorkload(spec: TrafficSpec): Workload {
  const seed = spec.seed ?? 1;
  if (spec.kind === 'capture') return captureWorkload(spec);
  const templates = syntheticTemplates(spec, seed);
  const ratePps = spec.packetsPerS;
  if (spec.kind === 'rate') return new Workload(new FixedRate({ ratePps }), templates, burstMax(ratePps));
  if (spec.kind === 'poisson')
    return new Workload(new Poisson({ ratePps, seed }), templates, burstMax(ratePps));
  const onRatePps = (ratePps * (spec.onMs + spec.offMs)) / spec.onMs;
  const [meanOnNs, meanOffNs] = [spec.onMs * 1e6, spec.offMs * 1e6];
  const schedule = new OnOff({ ratePps: onRatePps, meanOnNs, meanOffNs, lengths: 'exponential', seed });
  return new Workload(schedule, templates, burstMax(onRatePps));
}

function captureWorkload(spec: Extract<TrafficSpec, { kind: 'capture' }>): Workload {
  const { packets, templates } = readTemplates(spec.path);
  if (spec.packetsPerS !== undefined) {
    const ratePps = spec.packetsPerS;
    return new Workload(new FixedRate({ ratePps }), templates, burstMax(ratePps));
  }
  const speed = spec.speed ?? 1;
  const timesNs = Float64Array.from(packets, ({ timeNs }) => timeNs);
  const replay = new Replay({ timesNs, speed, loops: Number.POSITIVE_INFINITY });
  return new Workload(replay, templates, burstMax(peakPps(timesNs) * speed));
}

/** Throws what replaying that capture would throw. */
export function checkCapture(path: string): void {
  readTemplates(path);
}

function readTemplates(path: string): { packets: CapturedPacket[]; templates: Template[] } {
  const sides = new Sides();
  const packets = readCapture(path).packets.flatMap((packet, i) => {
    if (packet.bytes.length <= FRAME_MAX_BYTES) return [packet];
    const segments = cutSegments(packet.bytes, FRAME_MAX_BYTES);
    if (segments !== undefined)
      return segments.map((bytes) => ({ ...packet, bytes, originalLength: bytes.length }));
    throw new NemoError('BAD_CAPTURE', `packet ${i + 1} of ${path} is ${packet.bytes.length} bytes long`, {
      hint: `packets of up to ${FRAME_MAX_BYTES} bytes can be replayed, and longer ones of TCP: leave others out`,
    });
  });
  const templates = packets.map(({ bytes }) => makeTemplate(bytes, bytes.length, sides.directionOf(bytes)));
  return { packets, templates };
}

function syntheticTemplates(frames: SyntheticFrames, seed: number): Template[] {
  const { flows = 64, frameBytes = 60, ipv6Ratio = 0, bothWays = false } = frames;
  const sizes = [{ bytes: frameBytes, share: 1 }];
  if (frameBytes > FRAME_MAX_BYTES) {
    throw new NemoError('BAD_CONFIG', `frameBytes: at most ${FRAME_MAX_BYTES}, got ${frameBytes}`);
  }
  return makeFlowFrames({ flows, seed, sizes, ipv6Ratio }).flatMap((frame) => {
    const template = makeTemplate(frame, frame.length, 0);
    if (!bothWays) return [template];
    return [template, makeTemplate(answerTo(frame), frame.length, 1)];
  });
}

/** Twice what is due in a micro-batch at that rate. */
function burstMax(packetsPerS: number): number {
  return Math.max(BURST_MIN, Math.ceil((2 * packetsPerS * TRAFFIC.microBatchUs) / 1e6));
}

/** The highest rate over any millisecond. Times rise. */
function peakPps(timesNs: Float64Array): number {
  let most = 0;
  for (let first = 0, last = 0; last < timesNs.length; last++) {
    while (timesNs[last]! - timesNs[first]! > 1e6) first++;
    most = Math.max(most, last - first + 1);
  }
  return most * 1e3;
}

/** Tells from which side a packet of a capture came. */
class Sides {
  private readonly headers = new Headers();
  private readonly opened = new Set<string>();

  directionOf(frame: Uint8Array): 0 | 1 {
    const code = parseHeaders(frame, frame.length, this.headers);
    if (code === NOT_IP || code > NOT_IP + 2) return 0;
    const { tuple, sourcePort, destinationPort } = this.headers;
    const source = `${tuple.subarray(0, 4).join()},${code === OK ? sourcePort : 0}`;
    const destination = `${tuple.subarray(4, 8).join()},${code === OK ? destinationPort : 0}`;
    if (this.opened.has(`${destination} ${source}`)) return 1;
    this.opened.add(`${source} ${destination}`);
    return 0;
  }
}

/** The same UDP frame from its receiver to its sender; swapping addresses and ports leaves every checksum as it is. */
function answerTo(frame: Uint8Array): Uint8Array {
  const headers = new Headers();
  parseHeaders(frame, frame.length, headers);
  const answer = frame.slice();
  const swap = (offset: number, length: number) => {
    answer.copyWithin(offset, offset + length, offset + 2 * length);
    answer.set(frame.subarray(offset, offset + length), offset + length);
  };
  swap(0, 6);
  if (headers.version === 4) swap(headers.l3Offset + 12, 4);
  else swap(headers.l3Offset + 8, 16);
  swap(headers.l4Offset, 2);
  return answer;
}
