/** Users by name, from /etc/passwd: those of the daemons' packages stand there. Others are named by their number. */

import { readFileSync } from 'node:fs';

/** Undefined: there is no such user. */
export function userId(user: string | number): number | undefined {
  if (typeof user === 'number') return user;
  const fields = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .find(([name]) => name === user);
  return fields === undefined ? undefined : Number(fields[2]);
}
