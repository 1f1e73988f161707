/** Which store a box uses: the one place that knows both. */

import { openEmbeddedStore } from './embedded.js';
import { openRedisStore } from './redis.js';
import type { Store } from './store.js';

export type StoreConfig = { kind: 'embedded'; directory: string } | { kind: 'redis'; url: string };

/** STORE if the store cannot be opened; `warnings` says in words what it does not promise. */
export async function openStore(config: StoreConfig): Promise<{ store: Store; warnings: readonly string[] }> {
  if (config.kind === 'embedded') return { store: openEmbeddedStore(config.directory), warnings: [] };
  const store = await openRedisStore(config.url);
  return { store, warnings: store.warnings };
}
