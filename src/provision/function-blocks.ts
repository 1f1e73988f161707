/** Which blocks a function needs: its code, and the packages that are kept apart from it. */

import { PACKAGE_ENDING } from '../bundle/pack.js';
import type { FunctionSpec } from '../model/function.js';
import type { PackageRef } from '../model/package.js';
import type { BlockRef } from './block-source.js';

export function blocksOf({ codeHash, codeEnding, packages = [] }: FunctionSpec): BlockRef[] {
  const ofPackages = packages.map(({ hash }) => ({ hash, ending: PACKAGE_ENDING }));
  return [{ hash: codeHash, ending: codeEnding }, ...ofPackages];
}

export function hashesOf(spec: FunctionSpec): string[] {
  return blocksOf(spec).map(({ hash }) => hash);
}

/** What a spec keeps of its packages, in one order whatever the deploy's. */
export function refsOf(packages: readonly PackageRef[]): PackageRef[] {
  return packages
    .map(({ hash, name, bytes, entries }) => ({ hash, name, bytes, entries }))
    .sort((a, b) => (a.hash < b.hash ? -1 : 1));
}
