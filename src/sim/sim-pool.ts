/** The sandboxes of the simulated box and their memory: what `Pool` keeps on a real one, and its integral over time. */

import type { KeepAlivePolicy } from '../sandbox/keepalive/policy.js';
import { type SimFunction, SimSandbox } from './sim-function.js';

const GIB_MS = 2 ** 30 * 1000;

export class SimPool {
  readonly stems: SimSandbox[] = [];
  /** Bytes of what serves nothing, and of all. */
  idleBytes = 0;
  committed = 0;
  memoryMaxBytes = 0;
  memoryGiBs = 0;
  idleMemoryGiBs = 0;
  evicted = 0;
  /** The ageing clock of keep-alive policies (see `IdleSandbox`). */
  clock = 0;
  private readonly idle = new Set<SimSandbox>();
  private accountedMs = 0;

  constructor(
    private readonly sandboxBytes: number,
    private readonly capacityBytes: number,
    private readonly keepAlive: KeepAlivePolicy,
    private readonly onRemoved: (fn: SimFunction) => void,
  ) {}

  advance(toMs: number): void {
    const gone = toMs - this.accountedMs;
    this.memoryGiBs += (this.committed * gone) / GIB_MS;
    this.idleMemoryGiBs += (this.idleBytes * gone) / GIB_MS;
    this.accountedMs = toMs;
  }

  /** What was there before the first call does not count. */
  forgetMemory(): void {
    this.memoryGiBs = 0;
    this.idleMemoryGiBs = 0;
  }

  /** Bytes that have to be freed before one more sandbox can be made; 0 or less: none. */
  lacking(): number {
    return this.sandboxBytes - (this.capacityBytes - this.committed);
  }

  /** The caller made sure that nothing is lacking. */
  make(): SimSandbox {
    const sandbox = new SimSandbox(this.sandboxBytes);
    this.committed += sandbox.memoryBytes;
    this.memoryMaxBytes = Math.max(this.memoryMaxBytes, this.committed);
    return sandbox;
  }

  addStem(stem: SimSandbox): void {
    this.stems.push(stem);
    this.idleBytes += stem.memoryBytes;
  }

  /** The newest of those that leave the function least to load. */
  takeStem(fn: SimFunction): SimSandbox | undefined {
    let best: SimSandbox | undefined;
    let least = Number.POSITIVE_INFINITY;
    for (const stem of this.stems) {
      const importMs = fn.importMs(stem);
      if (importMs === undefined || importMs > least) continue;
      best = stem;
      least = importMs;
    }
    if (best !== undefined) this.removeStem(best);
    return best;
  }

  /** Those that have imported just these packages. */
  stemsWith(key: string): SimSandbox[] {
    return this.stems.filter(({ hashes }) => hashes.join() === key);
  }

  dropStem(stem: SimSandbox | undefined = this.stems.at(-1)): void {
    if (stem === undefined) return;
    this.removeStem(stem);
    this.committed -= stem.memoryBytes;
  }

  private removeStem(stem: SimSandbox): void {
    this.stems.splice(this.stems.indexOf(stem), 1);
    this.idleBytes -= stem.memoryBytes;
  }

  becameIdle(sandbox: SimSandbox): void {
    sandbox.fn!.idle.push(sandbox);
    this.idle.add(sandbox);
    this.idleBytes += sandbox.memoryBytes;
  }

  becameBusy(sandbox: SimSandbox): void {
    const { idle } = sandbox.fn!;
    idle.splice(idle.indexOf(sandbox), 1);
    this.idle.delete(sandbox);
    this.idleBytes -= sandbox.memoryBytes;
  }

  /** Ends an idle sandbox. */
  remove(sandbox: SimSandbox): void {
    const fn = sandbox.fn!;
    this.becameBusy(sandbox);
    this.committed -= sandbox.memoryBytes;
    fn.live--;
    if (fn.live === 0) fn.usage.gone();
    this.onRemoved(fn);
  }

  /** Ends idle sandboxes, the lowest priority first, then stems, until nothing is lacking. False: that was not enough. */
  makeRoom(): boolean {
    while (this.lacking() > 0) {
      let victim: SimSandbox | undefined;
      let lowest = Number.POSITIVE_INFINITY;
      for (const sandbox of this.idle) {
        const priority = this.keepAlive.priority(sandbox);
        if (victim !== undefined && priority >= lowest) continue;
        victim = sandbox;
        lowest = priority;
      }
      if (victim !== undefined) {
        this.clock = Math.max(this.clock, lowest);
        this.remove(victim);
      } else if (this.stems.length > 0) this.dropStem();
      else return false;
      this.evicted++;
    }
    return true;
  }
}
