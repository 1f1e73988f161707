/**
 * The board: one SharedArrayBuffer in which the control thread writes the state of every core, and which
 * everybody reads without a message. One writer a field (noted below), plain 64-bit floats; a reader may see two
 * fields from different ticks, which no policy may mind.
 *
 *   header (24 f64) | core 0 (46 f64) | core 1 (46 f64) | ...
 */

const HEADER_FIELDS = 24;
const CORE_FIELDS = 46;

/** Fields of the header. `*Wanted` are written by the main thread, all others by the control thread. */
export const Head = {
  ticks: 0,
  /** Nanoseconds of CPU that the control thread has used. */
  controlCpuNs: 1,
  latenessP99Us: 2,
  hz: 3,
  /** 1 while functions may run: the loop then ticks at full rate. Main thread. */
  activeWanted: 4,
  /** Throttles so far, and how long it took from the sign to the applied throttle. */
  reactions: 5,
  reactionP50Us: 6,
  reactionP99Us: 7,
  /** Of those, the ones of which the packet is known: how many, and since the packet that broke the SLO was received. */
  packetReactions: 8,
  packetReactionP50Us: 9,
  packetReactionP99Us: 10,
  /** The same since that packet's time was up: since it had been on its way for as long as the SLO allows. */
  overSloP50Us: 11,
  overSloP99Us: 12,
  /** Who told of the packets: sum of PACKET_SOURCES. */
  packetSources: 13,
  /** The same since the packet was let go, late: what the loop itself took. */
  knownP50Us: 14,
  knownP99Us: 15,
  /** Times that a doorbell was answered between two ticks. */
  bellLooks: 16,
} as const;

/** Bits of `Head.packetSources`. */
export const PACKET_SOURCES = { reported: 1, tap: 2 } as const;

/** For each horizon of prediction, from `Core.horizons` on: which predictor, its careful guess, how often that came true. */
export const HORIZON_FIELDS = 3;

/** Fields of a core. Ratios are 0..1 of wall time over the loop's window; `*Ns` count up from the start. */
export const Core = {
  nfRatio: 0,
  functionRatio: 1,
  spareRatio: 2,
  predictedSpareRatio: 3,
  p50Us: 4,
  p99Us: 5,
  /** Strictest SLO of the NFs on the core; 0 without one. */
  sloUs: 6,
  throttleLevel: 7,
  /** Invocations that may run at once on this core now. The dispatcher obeys. */
  budgetRunning: 8,
  wallNs: 9,
  nfNs: 10,
  functionNs: 11,
  spareNs: 12,
  harvestedNs: 13,
  throttledNs: 14,
  conflicts: 15,
  /** 1 if an NF is there whose core may be harvested. */
  harvestable: 16,
  /** 1 if at least one NF runs here. */
  hasNf: 17,
  /** 1 while a gate that works lends the core in slices. It and the other three are the gate's. */
  gated: 18,
  /** What is lent each time, and from one slice to the next, microseconds; 0: nothing now. */
  gateSliceUs: 19,
  gatePeriodUs: 22,
  /** Share of the time that was offered in slices lately. */
  gateLentRatio: 29,
  /** Median and 90th percentile of the idle windows seen lately, microseconds. */
  idleWindowP50Us: 20,
  idleWindowP90Us: 21,
  p999Us: 23,
  /** Spare share of the next 10 ms that will be there nine times in ten; how often that came true; by whom. */
  predictedP10: 24,
  predictionCoverage: 25,
  predictor: 26,
  /** 1 while the SLO is not met even without functions. */
  unmeetable: 27,
  /** Ticks with late packets that were the host's doing, not a function's. */
  hostStalls: 28,
  /** 1 while late packets are not the functions' doing: they are as late without them. */
  acquitted: 30,
  /** HORIZON_FIELDS each for PREDICTION.horizonTicks. */
  horizons: 31,
  /** What others than NFs and functions took lately, and since the start. */
  othersRatio: 43,
  othersNs: 44,
  /** 1 while they leave nothing of it. */
  taken: 45,
} as const;

export type HeadField = (typeof Head)[keyof typeof Head];
export type CoreField = (typeof Core)[keyof typeof Core];

export class Board {
  readonly shared: SharedArrayBuffer;
  readonly cores: number;
  private readonly values: Float64Array;
  /** Woken by the main thread when work arrives while the loop is slow. */
  readonly wakeWord: Int32Array;

  private constructor(shared: SharedArrayBuffer, cores: number) {
    this.shared = shared;
    this.cores = cores;
    this.values = new Float64Array(shared, 8);
    this.wakeWord = new Int32Array(shared, 0, 1);
  }

  /** `cores`: highest core number + 1. */
  static create(cores: number): Board {
    return new Board(new SharedArrayBuffer(8 + 8 * (HEADER_FIELDS + cores * CORE_FIELDS)), cores);
  }

  static over(shared: SharedArrayBuffer): Board {
    return new Board(shared, ((shared.byteLength - 8) / 8 - HEADER_FIELDS) / CORE_FIELDS);
  }

  head(field: HeadField): number {
    return this.values[field]!;
  }

  setHead(field: HeadField, value: number): void {
    this.values[field] = value;
  }

  get(core: number, field: CoreField): number {
    return this.values[HEADER_FIELDS + core * CORE_FIELDS + field]!;
  }

  set(core: number, field: CoreField, value: number): void {
    this.values[HEADER_FIELDS + core * CORE_FIELDS + field] = value;
  }

  add(core: number, field: CoreField, value: number): void {
    const index = HEADER_FIELDS + core * CORE_FIELDS + field;
    this.values[index] = this.values[index]! + value;
  }
}
