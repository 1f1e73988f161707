/** The reference network functions by name. Each runs with an empty configuration. */

import { NemoError } from '../../model/errors.js';
import { Dpi } from './dpi.js';
import { Firewall } from './firewall.js';
import type { NetworkFunction } from './function.js';
import { LoadBalancer } from './lb.js';
import { Nat } from './nat.js';
import { Router } from './router.js';
import { Tunnel } from './tunnel.js';

const FUNCTIONS: Record<string, new (config: unknown) => NetworkFunction> = {
  firewall: Firewall,
  nat: Nat,
  lb: LoadBalancer,
  router: Router,
  dpi: Dpi,
  tunnel: Tunnel,
};

export const FUNCTION_NAMES: readonly string[] = Object.keys(FUNCTIONS);

/** Throws NOT_FOUND for an unknown name, BAD_CONFIG for a configuration that does not fit. */
export function createFunction(name: string, config: unknown): NetworkFunction {
  const make = Object.hasOwn(FUNCTIONS, name) ? FUNCTIONS[name] : undefined;
  if (make === undefined) {
    throw new NemoError('NOT_FOUND', `there is no network function "${name}"`, {
      hint: `The network functions are: ${FUNCTION_NAMES.join(', ')}.`,
    });
  }
  return new make(config);
}
