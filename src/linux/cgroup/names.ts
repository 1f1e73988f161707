/** Group names become paths below the cgroup mounts: only names that cannot leave their directory are let through. */

import { NemoError } from '../../model/errors.js';

export function checkName(name: string): string {
  if (/^[A-Za-z0-9_-]{1,200}$/.test(name)) return name;
  throw new NemoError('BAD_CONFIG', `"${name}" is not a name for a cgroup`, {
    hint: 'Use letters, digits, "-" and "_".',
  });
}
