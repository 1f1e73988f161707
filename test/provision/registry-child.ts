/** Deploys, redeploys and removes without end, saying on stdout what was acknowledged; killed by its parent. */

import { join } from 'node:path';
import { createRegistry } from '../../src/provision/registry.js';
import { openEmbeddedStore } from '../../src/store/embedded.js';
import { asItCame } from '../support/sources.js';

const directory = process.argv[2]!;
const round = process.argv[3]!;
const registry = await createRegistry({
  store: openEmbeddedStore(join(directory, 'store')),
  bundleDir: join(directory, 'bundles'),
  prepare: asItCame,
  bundleGraceMs: 0,
});
for (let i = 0; ; i++) {
  const name = `f${i % 7}`;
  if (i % 5 === 4 && registry.get(name) !== undefined) {
    process.stdout.write(`removing ${name}\n`);
    await registry.remove(name);
    process.stdout.write(`removed ${name}\n`);
  } else {
    const code = `export default () => '${round}.${i}';`;
    process.stdout.write(`deploying ${name}\n`);
    const { spec } = await registry.deploy({ name, code });
    process.stdout.write(`deployed ${name} ${spec.codeHash}\n`);
  }
}
