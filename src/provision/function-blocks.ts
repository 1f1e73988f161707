/** Which blocks a function needs: its code, and the packages that are kept apart from it. */

import { PACKAGE_ENDING } from '../bundle/pack.js';
import type { FunctionSpec } from '../model/function.js';
import { endingOf, type StoredSource } from '../model/function-source.js';
import type { PackageRef } from '../model/package.js';
import type { BlockRef } from './block-source.js';

/** A block without its hash. */
type Block = Omit<BlockRef, 'hash'>;

export const PACKAGE_BLOCK: Block = { ending: PACKAGE_ENDING, holds: 'package' };

export function codeBlock(source: StoredSource): Block {
  return { ending: endingOf(source), holds: source.kind };
}

export function blocksOf({ codeHash, source, packages = [] }: FunctionSpec): BlockRef[] {
  const ofPackages = packages.map(({ hash }) => ({ hash, ...PACKAGE_BLOCK }));
  return [{ hash: codeHash, ...codeBlock(source) }, ...ofPackages];
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
