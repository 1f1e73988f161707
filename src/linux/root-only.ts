/** Whether anybody but root can change what stands at a path: the file itself, or a folder on the way to it. */

import { lstatSync, type Stats } from 'node:fs';

const OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * In words, why a file or folder may be changed by others; undefined: root alone can, and `user` where one is given. ACLs
 * show in the group's bits.
 */
export function writableByOthers(
  stat: Pick<Stats, 'uid' | 'mode'>,
  path: string,
  user = 0,
): string | undefined {
  const name = JSON.stringify(path);
  if (stat.uid !== 0 && stat.uid !== user) return `${name} belongs to user ${stat.uid}`;
  return (stat.mode & OTHERS_WRITE) === 0 ? undefined : `others than root may write ${name}`;
}

/** Whether others may replace what is root's in a folder. Where anybody may make files, but not that (/tmp), is not a way in. */
export function folderChangeable(
  stat: Pick<Stats, 'uid' | 'mode'>,
  path: string,
  user = 0,
): string | undefined {
  const isSticky = stat.uid === 0 && (stat.mode & STICKY) !== 0;
  return isSticky ? undefined : writableByOthers(stat, path, user);
}

/**
 * Looks at every folder above `path`, which is absolute and without links; `base` goes before it when it is another
 * process's.
 */
export function folderWritableByOthers(path: string, base = '', user = 0): string | undefined {
  const names = path.split('/').slice(1, -1);
  for (let depth = 0; depth <= names.length; depth++) {
    const folder = `/${names.slice(0, depth).join('/')}`;
    let stat: Stats;
    try {
      stat = lstatSync(depth === 0 ? `${base}/` : base + folder);
    } catch {
      return `the folder ${JSON.stringify(folder)} cannot be seen from here`;
    }
    if (!stat.isDirectory()) return `${JSON.stringify(folder)} is not a folder`;
    const why = folderChangeable(stat, folder, user);
    if (why !== undefined) return why;
  }
  return undefined;
}
