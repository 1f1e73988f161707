/** A function as the API shows it: everything but the values of its environment, which may be secrets. */

import type { FunctionSpec } from '../../model/function.js';
import type { PackageRef } from '../../model/package.js';

export type FunctionView = Omit<FunctionSpec, 'env' | 'packages'> & {
  /** Names only. */
  env: string[];
  /** Without the names of their files, which may be a megabyte. */
  packages?: Array<Omit<PackageRef, 'entries'>>;
};

function viewFunction({ packages, ...spec }: FunctionSpec): FunctionView {
  return {
    ...spec,
    env: Object.keys(spec.env).sort(),
    ...(packages === undefined
      ? {}
      : { packages: packages.map(({ hash, name, bytes }) => ({ hash, name, bytes })) }),
  };
}

const texts = new WeakMap<FunctionSpec, string>();

/** As JSON, which is made once: there may be thousands of functions with thousands of names each, listed again and again. */
export function functionJson(spec: FunctionSpec): string {
  const text = texts.get(spec) ?? JSON.stringify(viewFunction(spec));
  texts.set(spec, text);
  return text;
}
