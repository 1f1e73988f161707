/** A guests' kernel, fetched once for all test runs of a machine. */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchKernel } from '../../src/engine/microvm/kernel.js';

export async function testKernel(): Promise<string> {
  return (await fetchKernel(join(tmpdir(), 'nemo-guest-kernel'))).image;
}
