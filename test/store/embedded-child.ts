/** Puts without end, saying on stdout what was acknowledged; killed by its parent. */

import { openEmbeddedStore } from '../../src/store/embedded.js';

const store = openEmbeddedStore(process.argv[2]!);
const first = Number(process.argv[3]);
for (let i = first; ; i++) {
  await store.put('t', `key-${i}`, { i, padding: 'x'.repeat(i % 3_000) });
  process.stdout.write(`${i}\n`);
}
