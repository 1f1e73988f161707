/** Which of a function's workers takes its next call: those that may, and among several the one the policy prefers. */

import type { SelectionBox, SelectionPolicy } from '../policy/selection/policy.js';
import type { FunctionState, Worker } from '../pool/state.js';
import type { CorePlaces } from './core-places.js';

export class WorkerChoice {
  private readonly box: SelectionBox & { core: number };

  constructor(
    private readonly places: CorePlaces,
    private readonly selection: SelectionPolicy,
  ) {
    this.box = { core: -1, spareRatio: (core) => places.spareRatio(core) };
  }

  /** One without calls, for a place on `core`; wherever it is now. */
  idle(fn: FunctionState, core: number): Worker | undefined {
    let best: Worker | undefined;
    for (const worker of fn.workers) {
      if (worker.state !== 'warm' || worker.retired || !worker.idle) continue;
      if (best === undefined || this.better(worker, best, core)) best = worker;
    }
    return best;
  }

  /** A busy one that may run several calls at once: it takes one more without another place on the core. */
  shared(fn: FunctionState): Worker | undefined {
    let best: Worker | undefined;
    for (const worker of fn.workers) {
      if (!this.mayTake(worker) || worker.idle || worker.room <= 0) continue;
      if (best === undefined || this.better(worker, best, worker.core)) best = worker;
    }
    return best;
  }

  /** A busy one to which a call may be sent ahead of time. */
  ahead(fn: FunctionState, sendAhead: number): Worker | undefined {
    return fn.workers.find((worker) => this.mayTake(worker) && worker.turn && worker.room + sendAhead > 0);
  }

  private better(a: Worker, b: Worker, core: number): boolean {
    this.box.core = core;
    return this.selection.better(a, b, this.box);
  }

  private mayTake(worker: Worker): boolean {
    return worker.state === 'warm' && !worker.retired && !this.places.throttled(worker.core);
  }
}
