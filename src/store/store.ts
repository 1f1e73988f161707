/** Durable state, by table and key. `embedded.ts` (LMDB) and `redis.ts` hold it; both pass the same tests. */

export interface Store {
  get<T>(table: string, key: string): Promise<T | undefined>;
  /** Resolves when the value would survive kill -9. */
  put<T>(table: string, key: string, value: T): Promise<void>;
  /** True if there was a value. */
  delete(table: string, key: string): Promise<boolean>;
  /** All pairs of a table, ordered by key. Where others can write too, nobody has checked that a value is a `T`. */
  list<T>(table: string): Promise<Array<{ key: string; value: T }>>;
  close(): Promise<void>;
}
