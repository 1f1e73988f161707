/** The functions of a trace as they would be deployed: calls have no time limit, one at a time in a sandbox. */

import { ENGINE_DEFAULT } from '../engine/builtin.js';
import type { FunctionSpec } from '../model/function.js';
import { functionRef } from '../model/function-ref.js';
import type { ImportedPackage } from '../policy/prewarm/policy.js';
import type { Costs } from './costs.js';

/** `packages`: what each imports, in the order of the names. */
export function specsOf(
  names: readonly string[],
  { sandboxBytes }: Costs,
  packages: ReadonlyArray<readonly ImportedPackage[]>,
): FunctionSpec[] {
  return names.map((name, i) => ({
    ref: functionRef(name),
    engine: ENGINE_DEFAULT,
    codeHash: name,
    ...{ codeEnding: '', codeBytes: 0, createdAt: '', updatedAt: '', env: {} },
    memoryBytes: sandboxBytes,
    timeoutMs: Number.POSITIVE_INFINITY,
    concurrency: 1,
    ...packagesOf(packages[i]),
  }));
}

function packagesOf(imported: readonly ImportedPackage[] = []): Pick<FunctionSpec, 'packages'> {
  if (imported.length === 0) return {};
  return { packages: imported.map(({ hash, bytes }) => ({ hash, name: hash, bytes, entries: [] })) };
}
