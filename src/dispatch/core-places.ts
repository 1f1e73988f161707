/**
 * The places for calls on the box: which instances hold one on which core, and how many each core has now. The board
 * says the budget; a call that runs for longer than a quantum no longer counts against it, so that long calls share.
 *
 * Beside the instances whose turn it is, a core may have standby ones (see Instance.running). Turns pass in the order in
 * which instances came. Weights are written only where two instances contend, since each write costs some microseconds.
 */

import { type Board, Core } from '../model/board.js';
import { OFF } from '../policy/conflict/ladder.js';
import { NO_OFFENCES, type Offences } from '../policy/conflict/offender-history.js';
import {
  mostSpare,
  type PlacementCore,
  type PlacementPolicy,
  sloUtilization,
} from '../policy/placement/placement.js';
import {
  budgetBeside,
  hasFreeRunSlot,
  isLasting,
  newcomersCore,
  type RunSlots,
  standbyCore,
  yieldsRunSlot,
} from '../policy/scheduling/run-slots.js';
import type { Instance } from '../pool/instance.js';

export interface CorePlacesOptions {
  board: Board;
  functionCores: readonly number[];
  /** Takes functions while no function core may. */
  fallbackCore: number;
  /** Calls that may run at once on a core; infinity: places are not counted at all. */
  runningPerCore: number;
  placement?: PlacementPolicy;
  setWeight: (instance: Instance, weight: Instance['weight']) => void;
  /** A standby instance got its turn. */
  onRunning: (instance: Instance) => void;
}

interface Place extends PlacementCore, RunSlots {
  running: number;
  standby: number;
  lasting: number;
}

export class CorePlaces {
  /** Instances with at least one call, in the order in which they came. */
  readonly busy = new Set<Instance>();
  /** Instances that waited for a turn at the last `refresh`, and those that were on standby since. */
  standbyCount = 0;
  private readonly cores: Place[];
  private readonly fallback: Place;
  private readonly fallbackOnly: PlacementCore[];
  private readonly placement: PlacementPolicy;

  constructor(private readonly options: CorePlacesOptions) {
    this.placement = options.placement ?? mostSpare;
    const place = (core: number): Place => ({
      core,
      running: 0,
      standby: 0,
      lasting: 0,
      budgetRunning: options.runningPerCore,
      predictedSpareRatio: 1,
      throttleLevel: 0,
      sloUtilization: 0,
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
      place.standby = 0;
      place.lasting = 0;
      place.budgetRunning = board.get(place.core, Core.budgetRunning);
      place.predictedSpareRatio = board.get(place.core, Core.predictedSpareRatio);
      place.throttleLevel = board.get(place.core, Core.throttleLevel);
      place.sloUtilization = sloUtilization(
        board.get(place.core, Core.sloUs),
        board.get(place.core, Core.p99Us),
      );
    }
    this.fallback.running = 0;
    this.fallback.standby = 0;
    this.fallback.budgetRunning = this.options.runningPerCore;
    if (!this.counted) return;
    for (const instance of this.busy) {
      const place = this.placeOf(instance.core);
      if (!instance.running) {
        place.standby += 1;
        continue;
      }
      place.running += 1;
      const heldMs = nowMs - instance.heldSinceMs;
      if (isLasting(heldMs)) place.lasting += 1;
      place.budgetRunning = budgetBeside(place, heldMs);
    }
    this.passRunSlots(nowMs);
  }

  /** Turns that became free go to standby instances. */
  private passRunSlots(nowMs: number): void {
    this.standbyCount = 0;
    for (const instance of this.busy) {
      if (instance.running) continue;
      const place = this.placeOf(instance.core);
      if (!hasFreeRunSlot(place)) {
        this.standbyCount++;
        continue;
      }
      place.standby -= 1;
      place.running += 1;
      instance.running = true;
      instance.beginCalls(nowMs);
      this.balance(instance.core);
      this.options.onRunning(instance);
    }
  }

  /** A call of the instance ended and it has another one: the turn is another's, if one is on standby on its core. */
  yieldRunSlot(instance: Instance): void {
    if (!this.counted || !yieldsRunSlot(instance, this.busy)) return;
    instance.running = false;
    // To the end of the line.
    this.busy.delete(instance);
    this.busy.add(instance);
  }

  /** A core with all its places taken, on which one more instance may be on standby; undefined if there is none. */
  chooseStandby(standbyMax: number, { away }: Offences = NO_OFFENCES): number | undefined {
    return standbyCore(this.cores, standbyMax, away);
  }

  /** A core for a function of which nothing runs, where all are held by calls that last. Undefined: there is none. */
  chooseForNewcomer({ away }: Offences = NO_OFFENCES): number | undefined {
    return newcomersCore(this.cores, away);
  }

  /** Makes the weights of a core's instances what their turns say, if more than one contends. */
  private balance(core: number): void {
    let contenders = 0;
    for (const instance of this.busy) if (instance.core === core) contenders++;
    if (contenders < 2) return;
    for (const instance of this.busy) {
      if (instance.core === core) this.options.setWeight(instance, instance.running ? 'normal' : 'low');
    }
  }

  /** The core for a call that could start now, or undefined: it has to wait. */
  choose(blame: Offences = NO_OFFENCES): number | undefined {
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

  /** The instance gets its first call: with a turn, or on standby. */
  enter(instance: Instance, turn: boolean): void {
    instance.running = turn;
    this.busy.add(instance);
    if (!this.counted) return;
    const place = this.placeOf(instance.core);
    if (turn) place.running += 1;
    else {
      place.standby += 1;
      this.standbyCount++;
    }
    this.balance(instance.core);
  }

  /** The instance has no call any more; its place shows at the next `refresh`. */
  leave(instance: Instance): void {
    instance.running = false;
    this.busy.delete(instance);
  }

  private placeOf(core: number): Place {
    return this.cores.find((place) => place.core === core) ?? this.fallback;
  }
}
