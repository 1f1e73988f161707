/**
 * `AsyncLocalStorage` for a function. Node's own, up to 22, reads and writes a property of the object that stands for
 * what runs now (a socket's handle, for example) under a name that whoever holds the storage can change.
 */

import { AsyncResource, AsyncLocalStorage as Native } from 'node:async_hooks';
import { uncurry } from '../primordials.js';

const { disable, enterWith, exit, getStore, run } = Native.prototype;
const native = {
  disable: uncurry(disable) as (of: Storage) => void,
  enterWith: uncurry(enterWith) as (of: Storage, store: unknown) => void,
  exit: uncurry(exit) as (of: Storage, callback: Callback, ...args: unknown[]) => unknown,
  getStore: uncurry(getStore) as (of: Storage) => unknown,
  run: uncurry(run) as (of: Storage, store: unknown, callback: Callback, ...args: unknown[]) => unknown,
};
type Storage = Native<unknown>;
type Callback = (...args: unknown[]) => unknown;
type Statics = { bind(callback: Callback): Callback; snapshot(): Callback };
const { bind, snapshot } = Native as unknown as Statics;
const make = (options: unknown): Storage => new (Native as new (options: unknown) => Storage)(options);

class AsyncLocalStorage {
  readonly #own: Storage;
  readonly name: string;

  constructor(options?: { name?: string }) {
    this.#own = make(options);
    this.name = options?.name ?? '';
  }

  static bind(callback: Callback): Callback {
    return bind(callback);
  }

  static snapshot(): Callback {
    return snapshot();
  }

  run(store: unknown, callback: Callback, ...args: unknown[]): unknown {
    return native.run(this.#own, store, callback, ...args);
  }

  exit(callback: Callback, ...args: unknown[]): unknown {
    return native.exit(this.#own, callback, ...args);
  }

  getStore(): unknown {
    return native.getStore(this.#own);
  }

  enterWith(store: unknown): void {
    native.enterWith(this.#own, store);
  }

  disable(): void {
    native.disable(this.#own);
  }
}

/** In the place of `node:async_hooks`: without hooks, which are shown the runner's own resources. */
export const asyncHooks = { AsyncLocalStorage, AsyncResource };
