/** Apart from the engine: known before it is opened. */

import { MICROVM } from '../../tunables/index.js';

/** The stems that fit functions of so many bytes: their MB, rounded up. */
export function microvmVariant(memoryBytes: number): string {
  return `${Math.ceil(memoryBytes / 2 ** 20 / MICROVM.stepMb) * MICROVM.stepMb}`;
}
