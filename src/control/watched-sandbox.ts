/** A sandbox as the loop sees it: what it used lately, and the throttle of its cgroup. No allocation a tick. */

import type { CgroupHandle } from '../linux/cgroup/driver.js';
import { CgroupThrottle } from '../linux/cgroup/throttle.js';
import type { Suspect } from '../policy/conflict/attribution.js';
import { Slot } from './messages.js';
import { CounterRates } from './rates.js';

export interface WatchedSandbox extends Suspect {
  slot: number;
  throttle: CgroupThrottle;
  counters: CounterRates;
  cpuNs: number;
  wasBusy: boolean;
  /** It has no call and computes all the same: it is judged, and held back, as one that has. */
  restless: boolean;
  /** CPU time that it used without a call since the last look at that. */
  idleNs: number;
}

/** What decays of the CPU time used lately, each tick: about 20 ms of memory, longer than counters lag. */
const RECENT_DECAY = 0.95;

/** Opens files of its cgroup; `closeSandbox` closes them. */
export function watchSandbox(slot: number, handle: CgroupHandle): WatchedSandbox {
  const throttle = new CgroupThrottle(handle);
  const counters = new CounterRates(handle);
  return {
    ...{ slot, throttle, counters, rates: counters.rates, cpuNs: throttle.readCpuNs() },
    ...{ wasBusy: true, busy: true, recentNs: 0, penalty: 0, penaltyAtMs: 0, heldUntilMs: 0 },
    ...{ restless: false, idleNs: 0 },
  };
}

/** Takes every limit off it. */
export function releaseSandbox({ throttle }: WatchedSandbox): void {
  throttle.setLeashed(false);
  throttle.thaw();
  throttle.setQuotaRatio(null);
}

export function closeSandbox({ throttle, counters }: WatchedSandbox): void {
  throttle.close();
  counters.close();
}

/** It has a call. */
export function hasCall({ slot }: WatchedSandbox, slots: Int32Array): boolean {
  return Atomics.load(slots, slot) === Slot.busy;
}

/** CPU time that they used since the last tick, of those that ran then or run now. */
export function readFunctionNs(
  sandboxes: readonly WatchedSandbox[],
  slots: Int32Array,
  ticks: number,
): number {
  let functionNs = 0;
  for (let i = 0; i < sandboxes.length; i++) {
    const sandbox = sandboxes[i]!;
    const called = hasCall(sandbox, slots);
    const busy = called || sandbox.restless;
    sandbox.busy = busy;
    sandbox.recentNs *= RECENT_DECAY ** ticks;
    if (!busy && !sandbox.wasBusy) continue;
    const cpuNs = sandbox.throttle.readCpuNs();
    if (cpuNs > sandbox.cpuNs) {
      functionNs += cpuNs - sandbox.cpuNs;
      sandbox.recentNs += cpuNs - sandbox.cpuNs;
      if (!called) sandbox.idleNs += cpuNs - sandbox.cpuNs;
    }
    sandbox.cpuNs = cpuNs;
    sandbox.wasBusy = busy;
  }
  return functionNs;
}

export function anyBusy(sandboxes: readonly WatchedSandbox[]): boolean {
  for (let i = 0; i < sandboxes.length; i++) if (sandboxes[i]!.busy) return true;
  return false;
}
