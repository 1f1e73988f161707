/**
 * What the pool and the dispatcher need of the control thread: the board to read, and a place for every sandbox in
 * what the loop watches. `Control` is the one real implementation; tests of pure logic bring their own.
 */

import type { CgroupHandle } from '../linux/cgroup/driver.js';
import type { Board } from '../model/board.js';

export interface SandboxSlots {
  readonly board: Board;
  /** Takes a slot for a new sandbox, marked busy: it is starting. Throws NO_CAPACITY when none is left. */
  addSandbox(core: number, handle: CgroupHandle): number;
  moveSandbox(slot: number, core: number): void;
  removeSandbox(slot: number): void;
  /** Marks whether a sandbox runs something. With the first busy one, the loop goes to its full rate. */
  setBusy(slot: number, busy: boolean): void;
  /** Lets the loop slow down if nothing runs. */
  relax(): void;
}
