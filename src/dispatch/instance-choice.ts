/** Which of a function's instances takes its next call: those that may, and among several the one the policy prefers. */

import type { SelectionBox, SelectionPolicy } from '../policy/selection/policy.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Instance } from '../pool/instance.js';
import type { CorePlaces } from './core-places.js';

export class InstanceChoice {
  private readonly box: SelectionBox & { core: number };

  constructor(
    private readonly places: CorePlaces,
    private readonly selection: SelectionPolicy,
  ) {
    this.box = { core: -1, spareRatio: (core) => places.spareRatio(core) };
  }

  /** One without calls, for a place on `core`; wherever it is now. */
  idle(fn: FunctionState, core: number): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of fn.instances) {
      if (instance.state !== 'warm' || instance.retired || !instance.idle) continue;
      if (best === undefined || this.better(instance, best, core)) best = instance;
    }
    return best;
  }

  /** A busy one that may run several calls at once: it takes one more without another place on the core. */
  shared(fn: FunctionState): Instance | undefined {
    let best: Instance | undefined;
    for (const instance of fn.instances) {
      if (!this.mayTake(instance) || instance.idle || instance.room <= 0) continue;
      if (best === undefined || this.better(instance, best, instance.core)) best = instance;
    }
    return best;
  }

  /** A busy one to which a call may be sent ahead of time. */
  pipelined(fn: FunctionState, sendAhead: number): Instance | undefined {
    return fn.instances.find(
      (instance) => this.mayTake(instance) && instance.running && instance.room + sendAhead > 0,
    );
  }

  private better(a: Instance, b: Instance, core: number): boolean {
    this.box.core = core;
    return this.selection.better(a, b, this.box);
  }

  private mayTake(instance: Instance): boolean {
    return instance.state === 'warm' && !instance.retired && !this.places.throttled(instance.core);
  }
}
