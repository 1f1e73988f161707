/**
 * The places for calls on the box: which workers hold one on which core, and how many each core has now. The board
 * says the budget; a call that runs for longer than a quantum no longer counts against it, so that long calls share.
 *
 * Beside the workers whose turn it is, a core may have staged ones (see Worker.turn). Turns pass in the order in
 * which workers came. Weights are written only where two workers contend, since each write costs some microseconds.
 */

import { type Board, Core } from '../model/board.js';
import { type Blame, NO_BLAME } from '../policy/conflict/blame-book.js';
import { OFF } from '../policy/conflict/ladder.js';
import {
  mostSpare,
  type PlacementCore,
  type PlacementPolicy,
  tightnessOf,
} from '../policy/placement/placement.js';
import {
  budgetBeside,
  hasFreeTurn,
  isLasting,
  newcomersCore,
  type RunSlots,
  stagingCore,
  yieldsTurn,
} from '../policy/scheduling/run-slots.js';
import type { Worker } from '../pool/state.js';

export interface CorePlacesOptions {
  board: Board;
  functionCores: readonly number[];
  /** Takes functions while no function core may. */
  fallbackCore: number;
  /** Calls that may run at once on a core; infinity: places are not counted at all. */
  runningPerCore: number;
  placement?: PlacementPolicy;
  setWeight: (worker: Worker, weight: Worker['weight']) => void;
  /** A staged worker got its turn. */
  onTurn: (worker: Worker) => void;
}

interface Place extends PlacementCore, RunSlots {
  running: number;
  staged: number;
  lasting: number;
}

export class CorePlaces {
  /** Workers with at least one call, in the order in which they came. */
  readonly busy = new Set<Worker>();
  /** Workers that waited for a turn at the last `refresh`, and those that were staged since. */
  stagedCount = 0;
  private readonly cores: Place[];
  private readonly fallback: Place;
  private readonly fallbackOnly: PlacementCore[];
  private readonly placement: PlacementPolicy;

  constructor(private readonly options: CorePlacesOptions) {
    this.placement = options.placement ?? mostSpare;
    const place = (core: number): Place => ({
      core,
      running: 0,
      staged: 0,
      lasting: 0,
      budgetRunning: options.runningPerCore,
      predictedSpareRatio: 1,
      throttleLevel: 0,
      tightness: 0,
    });
    this.cores = options.functionCores.map(place);
    this.fallback = place(options.fallbackCore);
    this.fallbackOnly = [this.fallback];
  }

  get counted(): boolean {
    return this.options.runningPerCore !== Number.POSITIVE_INFINITY;
  }

  /** Sum of what the function cores and the fallback may run now. */
  total(): number {
    let places = 1;
    for (const core of this.cores) places += core.budgetRunning;
    return places;
  }

  /** Call it before `choose`, and again when time has passed. */
  refresh(nowMs: number): void {
    const { board } = this.options;
    for (const place of this.cores) {
      place.running = 0;
      place.staged = 0;
      place.lasting = 0;
      place.budgetRunning = board.get(place.core, Core.budgetRunning);
      place.predictedSpareRatio = board.get(place.core, Core.predictedSpareRatio);
      place.throttleLevel = board.get(place.core, Core.throttleLevel);
      place.tightness = tightnessOf(board.get(place.core, Core.sloUs), board.get(place.core, Core.p99Us));
    }
    this.fallback.running = 0;
    this.fallback.staged = 0;
    this.fallback.budgetRunning = this.options.runningPerCore;
    if (!this.counted) return;
    for (const worker of this.busy) {
      const place = this.placeOf(worker.core);
      if (!worker.turn) {
        place.staged += 1;
        continue;
      }
      place.running += 1;
      const heldMs = nowMs - worker.heldSinceMs;
      if (isLasting(heldMs)) place.lasting += 1;
      place.budgetRunning = budgetBeside(place, heldMs);
    }
    this.passTurns(nowMs);
  }

  /** Turns that became free go to staged workers. */
  private passTurns(nowMs: number): void {
    this.stagedCount = 0;
    for (const worker of this.busy) {
      if (worker.turn) continue;
      const place = this.placeOf(worker.core);
      if (!hasFreeTurn(place)) {
        this.stagedCount++;
        continue;
      }
      place.staged -= 1;
      place.running += 1;
      worker.turn = true;
      worker.beginCalls(nowMs);
      this.balance(worker.core);
      this.options.onTurn(worker);
    }
  }

  /** A call of the worker ended and it has another one: the turn is another's, if one is staged on its core. */
  yieldTurn(worker: Worker): void {
    if (!this.counted || !yieldsTurn(worker, this.busy)) return;
    worker.turn = false;
    // To the end of the line.
    this.busy.delete(worker);
    this.busy.add(worker);
  }

  /** A core with all its places taken, on which one more worker may be staged; undefined if there is none. */
  chooseStaged(stagedMax: number, { away }: Blame = NO_BLAME): number | undefined {
    return stagingCore(this.cores, stagedMax, away);
  }

  /** A core for a function of which nothing runs, where all are held by calls that last. Undefined: there is none. */
  chooseForNewcomer({ away }: Blame = NO_BLAME): number | undefined {
    return newcomersCore(this.cores, away);
  }

  /** Makes the weights of a core's workers what their turns say, if more than one contends. */
  private balance(core: number): void {
    let contenders = 0;
    for (const worker of this.busy) if (worker.core === core) contenders++;
    if (contenders < 2) return;
    for (const worker of this.busy) {
      if (worker.core === core) this.options.setWeight(worker, worker.turn ? 'normal' : 'low');
    }
  }

  /** The core for a call that could start now, or undefined: it has to wait. */
  choose(blame: Blame = NO_BLAME): number | undefined {
    const index = this.placement.choose(this.cores, blame);
    if (index >= 0) return this.cores[index]!.core;
    // A short freeze is waited for; elsewhere a call goes only if no core may take it for longer.
    for (const { core, budgetRunning, throttleLevel } of this.cores) {
      if (budgetRunning > 0) return undefined;
      if (throttleLevel < OFF && this.options.board.get(core, Core.harvestable) === 1) return undefined;
    }
    return this.placement.choose(this.fallbackOnly) >= 0 ? this.fallback.core : undefined;
  }

  /** What was last heard of the core. */
  spareRatio(core: number): number {
    return this.placeOf(core).predictedSpareRatio;
  }

  /** True while a core of an NF, or one that others have taken, may run nothing. */
  throttled(core: number): boolean {
    const { board } = this.options;
    const guarded = board.get(core, Core.hasNf) === 1 || board.get(core, Core.taken) === 1;
    return guarded && board.get(core, Core.budgetRunning) === 0;
  }

  /** The worker gets its first call: with a turn, or staged. */
  enter(worker: Worker, turn: boolean): void {
    worker.turn = turn;
    this.busy.add(worker);
    if (!this.counted) return;
    const place = this.placeOf(worker.core);
    if (turn) place.running += 1;
    else {
      place.staged += 1;
      this.stagedCount++;
    }
    this.balance(worker.core);
  }

  /** The worker has no call any more; its place shows at the next `refresh`. */
  leave(worker: Worker): void {
    worker.turn = false;
    this.busy.delete(worker);
  }

  private placeOf(core: number): Place {
    return this.cores.find((place) => place.core === core) ?? this.fallback;
  }
}
