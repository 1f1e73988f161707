/**
 * Specs of functions in the store. Boxes that share one change it one after the other, by a lease; who has lost that lease
 * overwrites nothing, and every box is told what the others changed.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import { exclusively } from '../store/exclusively.js';
import type { Store } from '../store/store.js';
import { FUNCTION_LIMITS, STORE } from '../tunables/index.js';
import { toSpec } from './stored-spec.js';

const TABLE = 'functions';

export class SpecStore {
  constructor(private readonly store: Store) {}

  /** Nobody has checked that they are specs. */
  list(): Promise<Array<{ key: string; value: unknown }>> {
    return this.store.list<unknown>(TABLE);
  }

  get(name: string): Promise<Partial<FunctionSpec> | null | undefined> {
    return this.store.get<Partial<FunctionSpec> | null>(TABLE, name);
  }

  /** STORE if another box changed it since this one lost its lease. */
  async write(spec: FunctionSpec): Promise<void> {
    const { store } = this;
    if (!store.shared) return store.put(TABLE, spec.name, spec);
    // What cannot be read, nobody deployed.
    const before = await store.get<FunctionSpec>(TABLE, spec.name).catch(() => null);
    if (before === null) return store.put(TABLE, spec.name, spec);
    if (await store.compareAndSet(TABLE, spec.name, before, spec)) return;
    throw new NemoError('STORE', `another box changed '${spec.name}' at the same time`, {
      hint: 'look at what is deployed now, and deploy again',
    });
  }

  /** False if a store that failed may have taken it nevertheless: then its code has to stay, or goes with the next sweep. */
  async wasRefused({ name, updatedAt }: FunctionSpec): Promise<boolean> {
    try {
      return (await this.get(name))?.updatedAt !== updatedAt;
    } catch {
      return false;
    }
  }

  delete(name: string): Promise<boolean> {
    return this.store.delete(TABLE, name);
  }

  /** Undefined while the store has values that this version does not know. */
  async allSpecs(): Promise<FunctionSpec[] | undefined> {
    const stored = await this.list();
    const specs = stored.flatMap(({ key, value }) => toSpec(value, key, Number.MAX_SAFE_INTEGER) ?? []);
    return specs.length === stored.length ? specs : undefined;
  }

  /** Boxes that share the store, one at a time. */
  change<T>(work: () => Promise<T>): Promise<T> {
    return this.store.shared ? exclusively(this.store, TABLE, work) : work();
  }

  /**
   * Calls back with the names of functions that somebody changed, or with nothing when any may have been. Once at a time, and
   * paced: whoever can write the store decides how often it changes. Nobody else changes one that is not shared.
   */
  async watch(onChanged: (names: readonly string[] | undefined) => Promise<void>): Promise<() => void> {
    if (!this.store.shared) return () => {};
    let names = new Set<string>();
    let anything = false;
    let running = false;
    const run = async (): Promise<void> => {
      if (running) return;
      running = true;
      while (anything || names.size > 0) {
        const changed = anything ? undefined : [...names];
        names = new Set();
        anything = false;
        await onChanged(changed);
        await delay(FUNCTION_LIMITS.followPaceMs, undefined, { ref: false });
      }
      running = false;
    };
    return this.store.watch(TABLE, (name) => {
      if (name === undefined || name.length > STORE.nameMaxBytes || names.size >= FUNCTION_LIMITS.followedMax)
        anything = true;
      else names.add(name);
      void run();
    });
  }
}
