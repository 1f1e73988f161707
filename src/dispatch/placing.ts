/**
 * Moves the first calls of functions forward: into a sandbox that runs, an idle one on a core with a free turn, ahead of
 * time or on standby where there is none; or has a sandbox made. Who goes first and who waits for whom is policy
 * (`policy/scheduling`); here it is carried out.
 */

import type { OffenderHistory } from '../policy/conflict/offender-history.js';
import { nextToServe } from '../policy/scheduling/fair-queue.js';
import { afterAttempt, mayStartOne, type Placed } from '../policy/scheduling/pass-over.js';
import type { FunctionState } from '../pool/function-state.js';
import type { Instance } from '../pool/instance.js';
import { Backlog } from './backlog.js';
import type { CorePlaces } from './core-places.js';
import type { InstanceChoice } from './instance-choice.js';

export interface PlacingOptions {
  places: CorePlaces;
  instances: InstanceChoice;
  blames: OffenderHistory;
  pipelineDepth: number;
  /** False: the instance is ending. */
  move: (instance: Instance, core: number) => boolean;
  /** Gives the function's first call to the instance, which has its turn or is on standby. */
  send: (fn: FunctionState, instance: Instance, turn: boolean) => 'sent';
  /** Has one more sandbox made. */
  grow: (fn: FunctionState, core: number) => void;
}

export class Placing {
  /** Functions whose calls wait. */
  readonly backlog = new Backlog();

  constructor(private readonly options: PlacingOptions) {}

  /** Moves forward what can be moved, of all functions in their order. */
  all(nowMs: number): void {
    const { backlog } = this;
    let passedOver: Set<FunctionState> | undefined;
    for (;;) {
      const next = nextToServe(backlog.toServe, passedOver);
      if (next === undefined) return;
      const placed = this.place(next, nowMs);
      const then = afterAttempt(placed);
      if (then === 'stop') break;
      if (placed === 'starting' && next.onlyStarts) backlog.setApart(next);
      else if (then === 'next') {
        passedOver ??= new Set();
        passedOver.add(next);
      }
      if (next.queued === 0) backlog.delete(next);
    }
    this.newcomer(nowMs);
  }

  /** Nobody finds a place. One function of which nothing runs does all the same, where calls of others last. */
  private newcomer(nowMs: number): void {
    const { backlog } = this;
    if (this.options.places.chooseForNewcomer() === undefined) return;
    const next = nextToServe(backlog.toServe, undefined, (fn) => !fn.busy);
    if (next === undefined) return;
    const core = this.options.places.chooseForNewcomer(this.options.blames.of(next.key, nowMs));
    if (core === undefined) return;
    if (this.onCore(next, core) === 'starting' && next.onlyStarts) backlog.setApart(next);
    if (next.queued === 0) backlog.delete(next);
  }

  /** The same for one function, where functions do not contend for places. */
  one(fn: FunctionState, nowMs: number): void {
    while (fn.queued > 0 && afterAttempt(this.place(fn, nowMs)) === 'again');
    if (fn.queued === 0) this.backlog.delete(fn);
  }

  /** Tries to move one call forward. */
  private place(fn: FunctionState, nowMs: number): Placed {
    const { places, instances, pipelineDepth, send } = this.options;
    const shared = instances.shared(fn);
    if (shared !== undefined) return send(fn, shared, true);
    const blame = this.options.blames.of(fn.key, nowMs);
    const core = places.choose(blame);
    if (core !== undefined) return this.onCore(fn, core);
    // Ahead of time: into the sandbox that runs, or into another one beside it. Its turn comes when a call ends.
    const ahead = instances.pipelined(fn, pipelineDepth);
    if (ahead !== undefined) return send(fn, ahead, true);
    const beside = places.chooseStandby(pipelineDepth, blame);
    // Not beside itself: the sandbox that runs has its caches warm, and takes its next call ahead.
    const itself = fn.instances.some((instance) => instance.running && instance.core === beside);
    const standby = beside === undefined || itself ? undefined : this.moveIdle(fn, beside);
    if (standby !== undefined) return send(fn, standby, false);
    return blame.away.size > 0 ? 'keeps away' : 'no place';
  }

  /** Its first call has a turn on the core, as soon as there is a sandbox for it. */
  private onCore(fn: FunctionState, core: number): Placed {
    const { places, send, grow } = this.options;
    const instance = this.moveIdle(fn, core);
    if (instance !== undefined) return send(fn, instance, true);
    if (mayStartOne(fn.starting, fn.queued, places.total(), warmOf(fn))) grow(fn, core);
    return 'starting';
  }

  /** An idle instance of `fn`, moved to the core. One that cannot be moved is ending: the next is tried. */
  private moveIdle(fn: FunctionState, core: number): Instance | undefined {
    for (;;) {
      const instance = this.options.instances.idle(fn, core);
      if (instance === undefined || this.options.move(instance, core)) return instance;
    }
  }
}

function warmOf(fn: FunctionState): number {
  let warm = 0;
  for (const instance of fn.instances) if (instance.state === 'warm') warm++;
  return warm;
}
