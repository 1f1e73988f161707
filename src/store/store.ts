/**
 * Durable state, by table and key, and what boxes that share it need to agree. `embedded.ts` (LMDB) and `redis.ts` hold it;
 * both pass the same tests.
 */

export interface Store {
  /** Others than this process can change it. */
  readonly shared: boolean;
  /** Where others can write too, nobody has checked that a value is a `T`; `null` for one that could not be read as JSON. */
  get<T>(table: string, key: string): Promise<T | undefined>;
  /** Resolves when the value would survive kill -9. */
  put<T>(table: string, key: string, value: T): Promise<void>;
  /** True if there was a value. */
  delete(table: string, key: string): Promise<boolean>;
  /** All pairs of a table, ordered by key. Where others can write too, nobody has checked that a value is a `T`. */
  list<T>(table: string): Promise<Array<{ key: string; value: T }>>;
  /**
   * Puts `next` only where the table holds `before`, as `get` gave it; `undefined` stands for no value. False: it holds
   * something else, and keeps it.
   */
  compareAndSet<T>(table: string, key: string, before: T | undefined, next: T | undefined): Promise<boolean>;
  /**
   * Calls back after each change of the table, whoever made it; with `undefined` when changes may have been missed, so that
   * all have to be read again. Watches when it resolves; returns the way to stop.
   */
  watch(table: string, onChange: (key: string | undefined) => void): Promise<() => void>;
  /** Takes the lease for `forMs` by the store's clock. Undefined: somebody has it. */
  lease(name: string, forMs: number): Promise<Lease | undefined>;
  close(): Promise<void>;
}

/** What one holder at a time has. A holder that is slow may have lost it: what it writes carries `token`, or renews first. */
export interface Lease {
  /** Larger than that of every holder before. */
  readonly token: number;
  /** Starts the time again. False: it is lost. */
  renew(): Promise<boolean>;
  /** No effect if it is lost. */
  release(): Promise<void>;
}
