/**
 * What one NF's packets say of the functions on a core. Each NF is judged by itself: the packets of a busy one beside it
 * would hide that all of its own are late. Pure; nothing is allocated a tick.
 */

import { CONFLICT, CONTROL } from '../../tunables/index.js';
import { BaselineComparison } from './baseline-comparison.js';
import { ConflictDetector, type ConflictLevel, type TickSigns } from './detect.js';
import { LastingBreach } from './lasting.js';

const TICK_MS = CONTROL.periodUs / 1000;

export class NfJudge {
  private readonly detector: ConflictDetector;
  private readonly lasting = new LastingBreach();
  private readonly evidence = new BaselineComparison();
  /** Ticks since a function had CPU time: a packet may be late for that long after. */
  private sinceRan = Number.POSITIVE_INFINITY;
  private offCore = false;

  constructor(readonly sloUs: number) {
    this.detector = new ConflictDetector(sloUs);
  }

  /** Once a tick. `mayRun`: no throttle keeps functions off the core; `offCore`: the level does. */
  observe(signs: TickSigns, mayRun: boolean, offCore: boolean): void {
    this.sinceRan = signs.functionsRan ? 0 : this.sinceRan + 1;
    this.offCore = offCore;
    this.detector.observe(signs);
    this.lasting.observe(signs.packets, signs.aboveSlo, this.counts());
    this.evidence.observe(signs.packets, signs.aboveSlo, mayRun && signs.functionsRan);
  }

  /** Packets that were seen between two ticks. */
  amend(packets: number, aboveSlo: number): void {
    this.detector.amend(packets, aboveSlo);
    this.lasting.amend(packets, aboveSlo, this.counts());
    this.evidence.amend(packets, aboveSlo);
  }

  judge(): ConflictLevel {
    const verdict = this.detector.judge();
    if (verdict === 'severe' || verdict === 'broken') return verdict;
    if (!this.offCore && this.counts() && this.lasting.broken()) {
      return this.lasting.aboveShare() > CONFLICT.severeShare ? 'severe' : 'broken';
    }
    return verdict;
  }

  /** The p99 is above the SLO, whether functions run or not. */
  sloBroken(): boolean {
    return this.detector.sloBroken() || this.lasting.broken();
  }

  /** Share of the packets above the SLO that led to the verdict. */
  aboveShare(): number {
    return this.detector.sloBroken() ? this.detector.aboveShare() : this.lasting.aboveShare();
  }

  /** Milliseconds between two packets lately; 0: there are none. */
  paceMs(): number {
    return this.lasting.paceTicks() * TICK_MS;
  }

  /** See Evidence. */
  acquits(): boolean {
    return this.evidence.acquits();
  }

  unmeetable(): boolean {
    return this.evidence.unmeetable();
  }

  /** After a throttle for another sign: what was seen of rare packets stays. */
  resetShort(): void {
    this.detector.reset();
  }

  /** After a throttle, so that the same packets are not judged twice. */
  reset(): void {
    this.detector.reset();
    this.lasting.reset();
  }

  private counts(): boolean {
    return this.offCore || this.sinceRan < CONFLICT.lastingRanTicks;
  }
}
