/**
 * Specs of functions in the store. Boxes that share one change it one after the other, by a lease; who has lost that lease
 * overwrites nothing, and every box is told what the others changed.
 */

import { NemoError } from '../errors.js';
import type { FunctionSpec } from '../invoke/function.js';
import { toSpec } from '../invoke/stored-spec.js';
import { exclusively } from '../store/exclusively.js';
import type { Store } from '../store/store.js';

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

  /** Nobody else changes a store that is not shared. */
  async watch(onChange: (name: string | undefined) => void): Promise<() => void> {
    return this.store.shared ? this.store.watch(TABLE, onChange) : () => {};
  }
}
