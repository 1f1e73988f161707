/** From what a user wrote to the function that is deployed. */

import type { FunctionSpec } from './function.js';
import { noSuchFunction, parseFunctionText } from './function-ref.js';
import type { FunctionRegistry } from './platform.js';

/** NOT_FOUND, also for what cannot name a function. */
export function functionNamed(registry: Pick<FunctionRegistry, 'get'>, text: string): FunctionSpec {
  // A key is the usual text.
  const known = registry.get(text);
  if (known !== undefined) return known;
  const { key } = parseFunctionText(text);
  const spec = registry.get(key);
  if (spec === undefined) throw noSuchFunction(key);
  return spec;
}
