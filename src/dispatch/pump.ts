/**
 * Gives waiting calls to instances until nothing more fits. It runs whenever something changed, and never awaits; what changes
 * while it runs is looked at in another round.
 */

import type { Clock, Timer } from '../model/clock.js';
import type { FunctionState } from '../pool/function-state.js';
import { HARVEST } from '../tunables/index.js';
import type { CorePlaces } from './core-places.js';
import type { Placing } from './placing.js';

export class Pump {
  private running = false;
  private again = false;
  private stopped = false;
  private quantumTimer: Timer | undefined;

  constructor(
    private readonly places: CorePlaces,
    private readonly placing: Placing,
    private readonly clock: Clock,
  ) {}

  /** `only`: nothing of other functions has changed. */
  run(only?: FunctionState): void {
    if (this.running) {
      this.again = true;
      return;
    }
    this.running = true;
    try {
      do {
        this.again = false;
        const nowMs = this.clock.nowMs();
        this.places.refresh(nowMs);
        // Where places are not counted, functions do not wait for each other.
        if (only !== undefined && !this.places.counted) this.placing.one(only, nowMs);
        else this.placing.all(nowMs);
        only = undefined;
      } while (this.again);
    } finally {
      this.running = false;
    }
    // Long calls lose their claim on the core with time, and back-offs pass; look again then.
    const waits = this.placing.backlog.size > 0 || this.places.standbyCount > 0;
    if (waits && this.quantumTimer === undefined && !this.stopped) {
      this.quantumTimer = this.clock.after(HARVEST.quantumMs, this.quantumOver);
    }
  }

  /** Nothing is looked at by itself any more. */
  stop(): void {
    this.stopped = true;
    this.clock.cancel(this.quantumTimer);
  }

  private readonly quantumOver = (): void => {
    this.quantumTimer = undefined;
    this.run();
  };
}
