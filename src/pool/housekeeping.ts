/**
 * What a box has to do again and again, whatever its functions do: let the control loop rest, give memory back that the
 * host needs, find who holds too many locks on files or watches too many, and close the windows of measured latencies.
 */

import type { SandboxSlots } from '../control/sandbox-slots.js';
import type { Clock, Timer } from '../model/clock.js';
import { asNemoError, type NemoError } from '../model/errors.js';
import { DISPATCH } from '../tunables/index.js';
import { EpollWatch, tooManyWatches } from './epoll-watch.js';
import type { FunctionState } from './function-state.js';
import type { Instance } from './instance.js';
import { LockWatch, tooManyLocks } from './lock-watch.js';
import type { Planner } from './planner.js';
import type { Pool } from './pool.js';

export interface HousekeepingOptions {
  clock: Clock;
  control: SandboxSlots;
  pool: Pool;
  planner: Planner;
  functions: () => Iterable<FunctionState>;
  onEvicted: (functionName: string, sandboxId: string, why: string) => void;
  onWarning: (message: string) => void;
}

export class Housekeeping {
  private timers: Timer[] = [];
  private freeing = false;
  private readonly locks = new LockWatch<Instance>();
  private readonly watches = new EpollWatch<Instance>();

  constructor(private readonly options: HousekeepingOptions) {}

  start(): void {
    const { clock, control } = this.options;
    this.timers = [
      clock.every(DISPATCH.relaxMs, () => control.relax()),
      clock.every(DISPATCH.windowMs, () => this.everySecond()),
    ];
  }

  stop(): void {
    for (const timer of this.timers) this.options.clock.cancel(timer);
  }

  /** Called every DISPATCH.windowMs. */
  everySecond(): void {
    for (const fn of this.options.functions()) fn.latency.rotate();
    this.relieve();
    const { instances } = this.options.pool;
    const locks = this.locks.above(instances.values()).then((found) => found.map(({ sandbox }) => sandbox));
    void this.endHolders(locks, 'held too many locks on files', 'locks on files', tooManyLocks);
    const watches = this.watches.above(instances.values());
    void this.endHolders(watches, 'watched too many files by epoll', 'watches of files', tooManyWatches);
  }

  /** Memory is short: one at a time, since the kernel needs a moment to give back what it had. */
  private relieve(): void {
    const { pool, planner } = this.options;
    if (this.freeing || pool.lackingBytes(0) <= 0) return;
    this.freeing = true;
    void planner.endVictim().finally(() => {
      this.freeing = false;
    });
  }

  /** Ends those that hold too much of what the kernel charges to nobody. `what`: that, plural, where it cannot be counted. */
  private async endHolders(
    above: Promise<readonly Instance[]>,
    did: string,
    what: string,
    errorOf: (functionName: string) => NemoError,
  ): Promise<void> {
    const { pool, onEvicted, onWarning } = this.options;
    try {
      for (const instance of await above) {
        onEvicted(instance.functionKey, instance.id, `it ${did}`);
        void pool.end(instance, errorOf(instance.functionKey));
      }
    } catch (thrown) {
      onWarning(`${what} cannot be counted: ${asNemoError(thrown).message}`);
    }
  }
}
