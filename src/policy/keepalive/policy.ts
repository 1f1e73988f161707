/** What a keep-alive policy sees and says. Pure: the planner ends sandboxes, and the simulator's world does. */

import type { FunctionUsage } from '../usage/usage.js';

export interface IdleSandbox {
  /** When its last call ended, or when it was made ready. */
  readonly lastUsedMs: number;
  readonly memoryBytes: number;
  /** The box's ageing clock when it was last used: the highest priority that was ended under pressure until then. */
  readonly clockAtUse: number;
  /** Of its function. */
  readonly usage: FunctionUsage;
}

export interface KeepAlivePolicy {
  readonly name: string;
  /**
   * Called when something of the function changed, and at the moment that it gave. Returns when it ends unless
   * something uses it; infinity: only when memory is short. Sandboxes that the prewarm policy wants stay anyway.
   */
  expiresMs(idle: IdleSandbox, nowMs: number): number;
  /** Called for every idle sandbox when memory is short: the one with the lowest number ends first. */
  priority(idle: IdleSandbox): number;
}
