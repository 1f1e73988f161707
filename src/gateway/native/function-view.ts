/** A function as the API shows it: everything but the values of its environment, which may be secrets. */

import type { FunctionSpec } from '../../model/function.js';

export type FunctionView = Omit<FunctionSpec, 'env'> & {
  /** Names only. */
  env: string[];
};

export function viewFunction(spec: FunctionSpec): FunctionView {
  return { ...spec, env: Object.keys(spec.env).sort() };
}
