/**
 * Every sandbox of the box, by its slot. One on a function core is also in the list of that core's controller; any other
 * is free of every limit, and what it uses does not count as harvested.
 */

import type { CgroupHandle } from '../linux/cgroup/driver.js';
import { keepFreezingQuick } from '../linux/cgroup/quick-freezing.js';
import type { CoreController } from './core-controller.js';
import { closeSandbox, releaseSandbox, type WatchedSandbox, watchSandbox } from './watched-sandbox.js';

export class WatchedSandboxes {
  private readonly bySlot = new Map<number, WatchedSandbox>();
  private quickFreezing: { close(): void } | undefined;

  /** `nowMs`: the clock of the loop. */
  constructor(
    private readonly cores: readonly CoreController[],
    private readonly nowMs: () => number,
  ) {}

  add(slot: number, handle: CgroupHandle, core: number): void {
    const sandbox = watchSandbox(slot, handle);
    this.quickFreezing ??= freezeQuickly(handle);
    this.bySlot.set(slot, sandbox);
    this.putOn(core, sandbox);
  }

  move(slot: number, core: number): void {
    const sandbox = this.bySlot.get(slot);
    if (sandbox === undefined) return;
    this.takeOff(sandbox);
    this.putOn(core, sandbox);
  }

  remove(slot: number): void {
    const sandbox = this.bySlot.get(slot);
    if (sandbox === undefined) return;
    this.takeOff(sandbox);
    this.bySlot.delete(slot);
    closeSandbox(sandbox);
  }

  /** Takes every limit off all of them. */
  close(): void {
    for (const sandbox of this.bySlot.values()) {
      releaseSandbox(sandbox);
      closeSandbox(sandbox);
    }
    this.quickFreezing?.close();
  }

  private putOn(core: number, sandbox: WatchedSandbox): void {
    const controller = this.cores.find((one) => one.core === core);
    if (controller === undefined) {
      releaseSandbox(sandbox);
      return;
    }
    sandbox.cpuNs = sandbox.throttle.readCpuNs();
    sandbox.restless = false;
    sandbox.idleNs = 0;
    controller.sandboxes.push(sandbox);
    controller.apply(this.nowMs());
  }

  private takeOff(sandbox: WatchedSandbox): void {
    for (const { sandboxes } of this.cores) {
      const index = sandboxes.indexOf(sandbox);
      if (index >= 0) sandboxes.splice(index, 1);
    }
  }
}

/** Where it fails, freezing only takes longer. */
function freezeQuickly(handle: CgroupHandle): { close(): void } {
  try {
    return keepFreezingQuick(handle);
  } catch {
    return { close: () => undefined };
  }
}
