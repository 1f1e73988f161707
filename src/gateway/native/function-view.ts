/** A function as the API shows it: everything but the values of its environment, which may be secrets. */

import type { FunctionSpec } from '../../model/function.js';
import type { PackageRef } from '../../model/package.js';

export type FunctionView = Omit<FunctionSpec, 'ref' | 'env' | 'packages'> & {
  name: string;
  namespace: string;
  /** The newest one: it grows with every deploy. */
  version: number;
  /** Names only. */
  env: string[];
  /** Without the names of their files, which may be a megabyte. */
  packages?: Array<Omit<PackageRef, 'entries'>>;
};

export function viewFunction({ ref, packages, ...spec }: FunctionSpec): FunctionView {
  const { name, namespace, version } = ref;
  return {
    ...{ name, namespace, version },
    ...spec,
    env: Object.keys(spec.env).sort(),
    ...(packages === undefined
      ? {}
      : { packages: packages.map(({ hash, name, bytes }) => ({ hash, name, bytes })) }),
  };
}
