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
import { isVersion, type StoredSpec, toSpec, toStored } from './stored-spec.js';

const TABLE = 'functions';

export class SpecStore {
  constructor(private readonly store: Store) {}

  /** Nobody has checked that they are specs. */
  list(): Promise<Array<{ key: string; value: unknown }>> {
    return this.store.list<unknown>(TABLE);
  }

  /** Nobody has checked that it is one. */
  get(key: string): Promise<Partial<StoredSpec> | null | undefined> {
    return this.store.get<Partial<StoredSpec> | null>(TABLE, key);
  }

  /** After `known` and after what is stored: another box may have deployed one, or this one cannot run what it has. */
  async nextVersion(key: string, known = 0): Promise<number> {
    const stored = await this.get(key).catch(() => null);
    if (stored === undefined || stored === null) return known + 1;
    const next = Math.max(known, isVersion(stored.version) ? stored.version : 1) + 1;
    // Whoever can write a shared store may have written the last one that there is.
    return isVersion(next) ? next : 1;
  }

  /** STORE if another box changed it since this one lost its lease. */
  async write(spec: FunctionSpec): Promise<void> {
    const { store } = this;
    const { key } = spec.ref;
    const stored = toStored(spec);
    if (!store.shared) return store.put(TABLE, key, stored);
    // What cannot be read, nobody deployed.
    const before = await store.get<StoredSpec>(TABLE, key).catch(() => null);
    if (before === null) return store.put(TABLE, key, stored);
    if (await store.compareAndSet(TABLE, key, before, stored)) return;
    throw new NemoError('STORE', `another box changed '${key}' at the same time`, {
      hint: 'look at what is deployed now, and deploy again',
    });
  }

  /** False if a store that failed may have taken it nevertheless: then its code has to stay, or goes with the next sweep. */
  async wasRefused({ ref, updatedAt }: FunctionSpec): Promise<boolean> {
    try {
      return (await this.get(ref.key))?.updatedAt !== updatedAt;
    } catch {
      return false;
    }
  }

  delete(key: string): Promise<boolean> {
    return this.store.delete(TABLE, key);
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
   * Calls back with the keys of functions that somebody changed, or with nothing when any may have been. Once at a time, and
   * paced: whoever can write the store decides how often it changes. Nobody else changes one that is not shared.
   */
  async watch(onChanged: (keys: readonly string[] | undefined) => Promise<void>): Promise<() => void> {
    if (!this.store.shared) return () => {};
    let keys = new Set<string>();
    let anything = false;
    let running = false;
    const run = async (): Promise<void> => {
      if (running) return;
      running = true;
      while (anything || keys.size > 0) {
        const changed = anything ? undefined : [...keys];
        keys = new Set();
        anything = false;
        await onChanged(changed);
        await delay(FUNCTION_LIMITS.followPaceMs, undefined, { ref: false });
      }
      running = false;
    };
    return this.store.watch(TABLE, (key) => {
      if (key === undefined || key.length > STORE.nameMaxBytes || keys.size >= FUNCTION_LIMITS.followedMax)
        anything = true;
      else keys.add(key);
      void run();
    });
  }
}
