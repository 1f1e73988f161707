/**
 * How many sandboxes may run on a core at once, who is on standby beside them, and who gets a turn that becomes free. A
 * call that has run for a quantum no longer keeps others off the core, so that long calls share it. Pure.
 */

import { HARVEST } from '../../tunables/index.js';

/** A core as the rules see it. */
export interface RunSlots {
  core: number;
  /** Sandboxes that have a turn, and those that are on standby. */
  running: number;
  standby: number;
  /** Of those that have a turn, how many have held it for longer than a quantum. */
  lasting: number;
  /** How many may have a turn now. */
  budgetRunning: number;
  throttleLevel: number;
  predictedSpareRatio: number;
}

/** A sandbox that has calls: with a turn, or on standby. */
export interface Contender {
  readonly core: number;
  readonly running: boolean;
}

/** Whether a call that has held its turn for so long keeps nobody off the core any more. */
export function isLasting(heldMs: number): boolean {
  return heldMs > HARVEST.quantumMs;
}

/** The budget of a core, given that one of its sandboxes has held its turn for so long. Not on a throttled core. */
export function budgetBeside(slots: RunSlots, heldMs: number): number {
  const { budgetRunning, throttleLevel } = slots;
  if (!isLasting(heldMs) || throttleLevel > 0) return budgetRunning;
  return budgetRunning > 0 && budgetRunning < HARVEST.sharingMax ? budgetRunning + 1 : budgetRunning;
}

/** Whether one more may have a turn. */
export function hasFreeRunSlot({ running, budgetRunning }: RunSlots): boolean {
  return running < budgetRunning;
}

/**
 * The core on which one more sandbox may be on standby: the one with the most spare time. Undefined: there is none. Where as
 * many share as ever may, a quantum frees no turn, so nobody is on standby.
 */
export function standbyCore(
  cores: readonly RunSlots[],
  standbyMax: number,
  away: ReadonlySet<number>,
): number | undefined {
  let best: RunSlots | undefined;
  for (const slots of cores) {
    if (away.has(slots.core) || slots.throttleLevel > 0 || slots.standby >= standbyMax) continue;
    if (slots.budgetRunning === 0 || slots.budgetRunning >= HARVEST.sharingMax) continue;
    if (best === undefined || slots.predictedSpareRatio > best.predictedSpareRatio) best = slots;
  }
  return best?.core;
}

/**
 * The core on which a function of which nothing runs may have a turn though as many share it as ever may: else calls of one
 * function that wait for something, for the longest time that there is, would keep all others from running. Each has a quantum
 * for itself. Undefined: there is none.
 */
export function newcomersCore(cores: readonly RunSlots[], away: ReadonlySet<number>): number | undefined {
  let best: RunSlots | undefined;
  for (const slots of cores) {
    if (away.has(slots.core) || slots.throttleLevel > 0 || slots.budgetRunning < HARVEST.sharingMax) continue;
    if (hasFreeRunSlot(slots) || slots.lasting < slots.running) continue;
    if (best === undefined || slots.running < best.running) best = slots;
  }
  return best?.core;
}

/** Whether a sandbox that ended a call and has another one gives its turn away: somebody is on standby on its core. */
export function yieldsRunSlot<C extends Contender>(one: C, contenders: Iterable<C>): boolean {
  if (!one.running) return false;
  for (const other of contenders) if (!other.running && other.core === one.core) return true;
  return false;
}
