/**
 * Imports an image in a mount namespace whose /etc/hosts is a file of the caller's, so that names mean what a test says.
 * Arguments: that file, the image, the registries as JSON. Prints what came of it.
 */

import { parseSource } from '../../../src/images/reference.js';
import { ImageRegistry } from '../../../src/images/registry.js';
import type { RegistryAccess } from '../../../src/images/registry-rules.js';
import { runCommand } from '../../../src/linux/tied-process.js';

const [hosts, image, registries] = process.argv.slice(2) as [string, string, string];
await runCommand('mount', ['--bind', hosts, '/etc/hosts']);
const source = parseSource(image);
if (source.kind !== 'registry') throw new Error(`${image} is not of a registry`);
try {
  const open = await new ImageRegistry(source, JSON.parse(registries) as RegistryAccess).open();
  let bytes = 0;
  for (const layer of open.layers)
    for await (const chunk of await layer.open()) bytes += (chunk as Buffer).length;
  open.close();
  process.stdout.write(`pulled ${bytes}`);
} catch (thrown) {
  process.stdout.write((thrown as Error).message);
}
process.exit(0);
