/**
 * When packets are to be sent: pure generators without a clock, seeded, so that a run can be repeated. Easy to get
 * wrong: times are intended ones from the start, never from the previous packet, so a late sender catches up and its
 * lateness can be told from the latency of what it measures.
 */

import { NemoError } from '../model/errors.js';
import { Random } from './random.js';

export interface Schedule {
  /** Intended send time of the next packet, nanoseconds from the start, never falling; -1 when finished. */
  nextNs(): number;
}

export interface Bound {
  /** Packets in all; without it only the time bounds. */
  count?: number;
  /** No packet at or after this time. */
  durationNs?: number;
}

/** Counts packets and ends a schedule. */
class Limit {
  #left: number;
  readonly #endNs: number;

  constructor({ count = Number.POSITIVE_INFINITY, durationNs = Number.POSITIVE_INFINITY }: Bound) {
    this.#left = count;
    this.#endNs = durationNs;
  }

  pass(timeNs: number): number {
    if (this.#left <= 0 || timeNs >= this.#endNs) {
      this.#left = 0;
      return -1;
    }
    this.#left--;
    return timeNs;
  }
}

/** Evenly spaced, the first one at 0. */
export class FixedRate implements Schedule {
  readonly #gapNs: number;
  readonly #limit: Limit;
  #sent = 0;

  constructor({ ratePps, ...bound }: { ratePps: number } & Bound) {
    this.#gapNs = 1e9 / positive('ratePps', ratePps);
    this.#limit = new Limit(bound);
  }

  nextNs(): number {
    // A product, not a sum: no error piles up.
    return this.#limit.pass(Math.floor(this.#sent++ * this.#gapNs));
  }
}

/** Independent arrivals: gaps are exponential with mean 1 / rate. */
export class Poisson implements Schedule {
  readonly #meanGapNs: number;
  readonly #random: Random;
  readonly #limit: Limit;
  #timeNs = 0;

  constructor({ ratePps, seed, ...bound }: { ratePps: number; seed: number } & Bound) {
    this.#meanGapNs = 1e9 / positive('ratePps', ratePps);
    this.#random = new Random(seed);
    this.#limit = new Limit(bound);
  }

  nextNs(): number {
    this.#timeNs += this.#random.exponential(this.#meanGapNs);
    return this.#limit.pass(Math.floor(this.#timeNs));
  }
}

export interface OnOffOptions extends Bound {
  /** Evenly spaced while on. */
  ratePps: number;
  meanOnNs: number;
  meanOffNs: number;
  /** `exponential` lengths (an interrupted process), or all equal. */
  lengths: 'exponential' | 'fixed';
  seed: number;
}

/** Bursts at a fixed rate with silence between them; the first burst starts at 0. */
export class OnOff implements Schedule {
  readonly #options: OnOffOptions;
  readonly #gapNs: number;
  readonly #random: Random;
  readonly #limit: Limit;
  #burstStartNs = 0;
  #burstEndNs: number;
  #inBurst = 0;

  constructor(options: OnOffOptions) {
    this.#options = options;
    this.#gapNs = 1e9 / positive('ratePps', options.ratePps);
    positive('meanOnNs', options.meanOnNs);
    positive('meanOffNs', options.meanOffNs);
    this.#random = new Random(options.seed);
    this.#limit = new Limit(options);
    this.#burstEndNs = this.#length(options.meanOnNs);
  }

  nextNs(): number {
    let timeNs = this.#burstStartNs + this.#inBurst * this.#gapNs;
    // Each burst has a packet, at its start, however short it is: so this ends.
    if (this.#inBurst > 0 && timeNs >= this.#burstEndNs) {
      this.#burstStartNs = this.#burstEndNs + this.#length(this.#options.meanOffNs);
      this.#burstEndNs = this.#burstStartNs + this.#length(this.#options.meanOnNs);
      this.#inBurst = 0;
      timeNs = this.#burstStartNs;
    }
    this.#inBurst++;
    return this.#limit.pass(Math.floor(timeNs));
  }

  #length(meanNs: number): number {
    return this.#options.lengths === 'fixed' ? meanNs : this.#random.exponential(meanNs);
  }
}

export interface ReplayOptions extends Bound {
  /** Packet times of the capture, nanoseconds from its first packet, rising. */
  timesNs: ArrayLike<number>;
  /** 2 is twice as fast. */
  speed: number;
  /** Times through the capture; Infinity with a bound. */
  loops: number;
  /** Between the last packet of a loop and the first of the next, before `speed` applies. */
  loopGapNs?: number;
}

/** A capture at its own pace; packet i is packet `i % timesNs.length` of the capture. */
export class Replay implements Schedule {
  readonly #options: ReplayOptions;
  readonly #loopNs: number;
  readonly #limit: Limit;
  #loop = 0;
  #index = 0;

  constructor(options: ReplayOptions) {
    if (options.timesNs.length === 0) throw new NemoError('BAD_CAPTURE', 'there are no packets to replay');
    positive('speed', options.speed);
    this.#options = options;
    this.#loopNs = options.timesNs[options.timesNs.length - 1]! + (options.loopGapNs ?? 1e6);
    this.#limit = new Limit(options);
  }

  nextNs(): number {
    const { timesNs, speed, loops } = this.#options;
    if (this.#loop >= loops) return -1;
    const timeNs = (this.#loop * this.#loopNs + timesNs[this.#index]!) / speed;
    if (++this.#index === timesNs.length) {
      this.#index = 0;
      this.#loop++;
    }
    return this.#limit.pass(Math.floor(timeNs));
  }
}

function positive(name: string, value: number): number {
  if (value > 0 && Number.isFinite(value)) return value;
  throw new NemoError('BAD_CONFIG', `${name}: expected a number above 0, got ${value}`);
}
