/** A guests' kernel, fetched once for all test runs of a machine. */

import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fetchKernel } from '../../src/sandbox/engines/microvm/kernel.js';

export async function testKernel(): Promise<string> {
  return (await fetchKernel(join(tmpdir(), 'nemo-guest-kernel'))).image;
}
