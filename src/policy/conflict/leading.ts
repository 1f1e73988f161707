/**
 * Leading signs in the packet path before the NF: what waits or is dropped there was late, or never came, before any
 * latency could be measured. A host drops some packets for reasons of its own (unknown protocols, bursts at night), so
 * counters are judged against what is usual: what they do while no function runs, and, slowly, what they do anyway. Pure.
 */

import { CONFLICT } from '../../tunables/index.js';

/** What counts up; each is judged by its growth since the last look. */
export const LEADING_COUNTERS = [
  'packets dropped in the backlog of the core',
  'packet work of the core cut short',
  'packets dropped by interfaces',
  'packets dropped at full sockets or rings of the NF',
  'milliseconds of stalls on memory',
  'packets that the NF itself dropped for want of room',
] as const;

/** Growth from which it is a sign, whatever is usual: one squeeze or one stray drop is none. */
const LEAST = [1, 20, 20, 1, 20, 1];

export class LeadingSigns {
  private readonly last = new Float64Array(LEADING_COUNTERS.length).fill(Number.NaN);
  /** Mean growth a look, learnt faster without functions. */
  private readonly usual = new Float64Array(LEADING_COUNTERS.length);
  /** Since the first look. */
  readonly totals = new Float64Array(LEADING_COUNTERS.length);

  /**
   * One look at the counter of that index, at the same pace always. Returns whether it is a sign: it grew far more than
   * it does without functions, and functions ran since the last look.
   */
  observe(index: number, value: number, functionsRan: boolean): boolean {
    const last = this.last[index]!;
    // What is not known now is as it was.
    if (Number.isNaN(value)) return false;
    this.last[index] = value;
    // The first look, or a counter that began anew.
    if (Number.isNaN(last) || value < last) return false;
    const growth = value - last;
    this.totals[index] = this.totals[index]! + growth;
    const usual = this.usual[index]!;
    this.usual[index] = usual + (growth - usual) * CONFLICT.leadingWeight * (functionsRan ? 0.1 : 1);
    return functionsRan && growth >= LEAST[index]! && growth > CONFLICT.leadingGrowth * usual;
  }
}

/** A queue before the NF that is this long is a sign by itself. */
export function queueIsLong(udpBytes: number, connections: number): boolean {
  return udpBytes > CONFLICT.leadingQueueBytes || connections > CONFLICT.leadingConnections;
}
