/** Which commit is measured: a report is resumed only by the same one. */

import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

/** Null outside of a repository. */
export function currentCommit(): string | null {
  try {
    const cwd = fileURLToPath(new URL('.', import.meta.url));
    return execFileSync('git', ['rev-parse', '--short', 'HEAD'], {
      cwd,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return null;
  }
}
