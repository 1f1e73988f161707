/** Which store a box uses: the one place that knows both. */

import { openEmbeddedStore } from './embedded.js';
import type { Store } from './store.js';

export type StoreConfig = { kind: 'embedded'; directory: string } | { kind: 'redis'; url: string };

/** STORE if the store cannot be opened; `warnings` has messages about what it does not guarantee. */
export async function openStore(config: StoreConfig): Promise<{ store: Store; warnings: readonly string[] }> {
  if (config.kind === 'embedded') return { store: openEmbeddedStore(config.directory), warnings: [] };
  // Loaded only where it is used: the client costs the agent more memory than its own code.
  const { openRedisStore } = await import('./redis.js');
  const store = await openRedisStore(config.url);
  return { store, warnings: store.warnings };
}
