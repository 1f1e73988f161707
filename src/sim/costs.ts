/** What things cost in the simulated world. Defaults: what bench/simulate-live measured on two cores of a VM. */

export interface Costs {
  /** A sandbox from nothing until it takes a call. */
  coldMs: number;
  /** Giving a stem its code. */
  stemMs: number;
  /** Restoring a snapshot; undefined: the engine has none. */
  restoreMs: number | undefined;
  /** Of a sandbox, with or without code: its limit, which is what a box counts. */
  sandboxBytes: number;
}

export const COSTS: Costs = { coldMs: 100, stemMs: 11, restoreMs: undefined, sandboxBytes: 128 * 2 ** 20 };
