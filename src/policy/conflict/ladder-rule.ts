/**
 * What a ladder is: the rule by which a core moves between the throttle levels. One file each in `ladders/`, listed in
 * `ladders.ts`; which one runs is a column of the box policy. Pure: the time is given, the state is the caller's.
 */

import type { ConflictLevel } from './detect.js';

/** Belongs to the rule that made it. Everybody else reads `level` only. */
export interface LadderState {
  /** Index into LADDER. */
  level: number;
}

export interface LadderRule<State extends LadderState = LadderState> {
  readonly name: string;
  readonly about: string;
  /** Called once for each function core, before its first tick. Starts at level 0. */
  initial(nowMs: number): State;
  /**
   * Called for each tick of a core that has an NF with an SLO (500 to 1,000 times a second), and between two ticks as
   * soon as an NF rings for a late packet. Not called in a tick that was answered otherwise: by freezing one function
   * of several, or by giving everything back. `paceMs`: between two packets of the NF that was hurt last; 0: not known.
   *
   * Returns the level for now, which is also `state.level` then. May go any number of levels up or down, and may change
   * its own state in place. Must not allocate: it runs in the control loop.
   */
  step(state: State, verdict: ConflictLevel, nowMs: number, paceMs: number): number;
  /**
   * Called when throttling has turned out not to help, or nobody is left whose packets could be late. Sets the level to
   * 0, and may forget what it learnt.
   */
  release(state: State, nowMs: number): void;
}
