/**
 * Do functions break the SLO, or does the NF break it by itself? A burst, a full queue or a slow host makes packets late
 * whether functions run or not; throttling then takes cycles from functions and gives nothing to packets (a core kept from
 * idling may even answer sooner). So windows are compared: how late packets are in those in which functions ran, and in
 * those in which none did. The first conflict always throttles: that is how windows without functions come about. Pure.
 */

import { CONFLICT } from '../../tunables/index.js';

/** Windows seen and how broken they were, both fading with time. */
interface Side {
  windows: number;
  broken: number;
  /** Sum of the shares of packets above the SLO of the broken ones. */
  lateShare: number;
}

const side = (): Side => ({ windows: 0, broken: 0, lateShare: 0 });

function add(to: Side, broken: boolean, lateShare: number): void {
  to.windows++;
  if (!broken) return;
  to.broken++;
  to.lateShare += lateShare;
}

/** One NF's windows, of CONFLICT.windowTicks or more and side by side. `observe` is called once a tick; no allocation. */
export class BaselineComparison {
  private readonly beside = side();
  private readonly alone = side();
  private ticks = 0;
  private ranTicks = 0;
  private packets = 0;
  private aboveSlo = 0;
  /** Packets of a window may have waited since the one before. */
  private ranBefore = true;

  observe(packets: number, aboveSlo: number, functionsRan: boolean): void {
    this.packets += packets;
    this.aboveSlo += aboveSlo;
    if (functionsRan) this.ranTicks++;
    if (++this.ticks < CONFLICT.windowTicks) return;
    const enough = this.packets >= CONFLICT.evidencePackets;
    // Rare packets make long windows, as long as functions do not come or go.
    const same = this.ranBefore === this.ranTicks > 0;
    const few = this.ticks >= CONFLICT.evidenceTicksMax && this.packets >= CONFLICT.evidencePacketsFew;
    if (!enough && !few && same && this.ticks < CONFLICT.lastingForgetTicks) return;
    // A window of few packets tells nothing; one in which functions came or went tells of neither side.
    if (enough || few) {
      const share = this.aboveSlo / this.packets;
      const broken = share > 0.01 && (this.aboveSlo >= CONFLICT.aboveMin || share > 0.5);
      if (this.ranTicks * 2 > this.ticks) add(this.beside, broken, share);
      else if (this.ranTicks === 0 && !this.ranBefore) add(this.alone, broken, share);
    }
    const kept = CONFLICT.evidenceKept ** (this.ticks / CONFLICT.windowTicks);
    fade(this.beside, kept);
    fade(this.alone, kept);
    this.ranBefore = this.ranTicks > 0;
    this.ticks = 0;
    this.ranTicks = 0;
    this.packets = 0;
    this.aboveSlo = 0;
  }

  /** Packets that were seen between two ticks. */
  amend(packets: number, aboveSlo: number): void {
    this.packets += packets;
    this.aboveSlo += aboveSlo;
  }

  /** Enough is known, and packets are about as late without functions as with them. */
  acquits(): boolean {
    const { alone, beside } = this;
    if (alone.windows < CONFLICT.evidenceWindows || alone.broken === 0) return false;
    // One broken window more beside functions, so that the few that were seen convict rather than acquit.
    const share = (beside.lateShare + CONFLICT.severeShare) / (beside.windows + 1);
    return alone.lateShare / alone.windows >= CONFLICT.acquittedShare * share;
  }

  /** Without functions most windows are broken: no throttling will meet this SLO. */
  unmeetable(): boolean {
    const { windows, broken } = this.alone;
    return windows >= CONFLICT.evidenceWindows && broken > windows / 2;
  }
}

function fade(one: Side, kept: number): void {
  one.windows *= kept;
  one.broken *= kept;
  one.lateShare *= kept;
}
