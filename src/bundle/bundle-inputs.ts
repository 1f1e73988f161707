/**
 * Which files may land in a bundle. A dependency is a stranger's: by a path, a wildcard, its `main` or a name with a path
 * it could have any file of the deployer's host put into the function, which answers with it. A package has what lies in it
 * and what packages it finds by their names; the function's own code has what it names.
 */

import { realpathSync } from 'node:fs';
import { dirname, join, resolve, sep } from 'node:path';
import type { Metafile } from 'esbuild';
import { NemoError } from '../model/errors.js';
import { packageOf } from './apart.js';

type Import = Metafile['inputs'][string]['imports'][number];

/** A name, and no way: relative, absolute or a URL. */
const BARE = /^(?!\.{0,2}\/|\.{1,2}$|[a-z]+:)/;
const CODE = /\.[cm]?[jt]sx?$/;
/** Not of a file: data:, what the bundler or a plugin of ours made, or a module that its package switched off. */
const NO_FILE = /^<(runtime>|data:)|^data:|^\(disabled\):|^nemo-package:/;
const NAME = /^(@[^/]+\/)?[^/]+/;

/**
 * Throws BAD_FUNCTION that names who takes what. `folder`: that the metafile tells paths from, and that is deployed;
 * `entries`: as the metafile has them.
 */
export function refuseStrayInputs({ inputs }: Metafile, folder: string, entries: readonly string[]): void {
  const places = new Places(folder);
  const listed = new Set(entries);
  /** Where own wildcards and those of packages may find files. */
  const roots = new Set<string>();
  for (const [from, { imports }] of Object.entries(inputs)) {
    for (const one of imports) {
      if (NO_FILE.test(one.path)) continue;
      if (one.external) {
        if (!isWildcard(one)) continue;
        const root = places.wildcardRoot(from, one.path);
        if (root === undefined) throw stray(`${from} imports ${one.path}, which is not all in its package`);
        roots.add(root);
      } else {
        listed.add(one.path);
        if (!places.fits(from, one))
          throw stray(
            `${from} imports ${one.original ?? one.path}, which is not part of a package: ${one.path}`,
          );
      }
    }
  }
  for (const path of Object.keys(inputs)) {
    if (listed.has(path) || NO_FILE.test(path)) continue;
    if (![...roots].some((root) => within(root, resolve(folder, path))))
      throw stray(`an import with a wildcard takes ${path}, which is not where it looks`);
  }
}

/** As esbuild tells `import(\`./\${name}.js\`)`: the files that fit are inputs that nobody lists. */
function isWildcard({ path }: Import): boolean {
  return /^\.{1,2}\//.test(path) && path.includes('*');
}

class Places {
  private readonly found = new Map<string, string | undefined>();

  constructor(private readonly folder: string) {}

  /** The folder below which a wildcard of `from` finds files; undefined: it leads out of its package. */
  wildcardRoot(from: string, pattern: string): string | undefined {
    const fixed = pattern.slice(0, pattern.indexOf('*')).replace(/[^/]*$/, '');
    const root = resolve(this.folder, dirname(from), fixed);
    const owner = packageOf(from);
    return owner === undefined || within(resolve(this.folder, owner), root) ? root : undefined;
  }

  fits(from: string, { path, original = path }: Import): boolean {
    const target = resolve(this.folder, path);
    const owner = packageOf(from);
    if (!BARE.test(original)) return owner === undefined || within(resolve(this.folder, owner), target);
    const alias = original.startsWith('#');
    if (alias && (owner === undefined || within(resolve(this.folder, owner), target))) return true;
    const directory = dirname(resolve(this.folder, from));
    const name = NAME.exec(original)![0];
    const root = this.root(directory, name);
    if (root !== undefined && within(root, target)) return true;
    const toPackage = packageOf(path);
    if (toPackage !== undefined) {
      const found = lastName(toPackage);
      const other = this.root(directory, found);
      // By another name for what it could name as well; or found by other rules, as those of Yarn's archives.
      return other === undefined ? found === name : within(other, target);
    }
    // The function's own tsconfig.json says where names lie. What a package of that name points at has to be code of the folder.
    if (owner !== undefined || alias) return false;
    return root === undefined
      ? within(this.folder, target) || CODE.test(path)
      : within(this.folder, target) && CODE.test(path);
  }

  /** Where a package of that name really lies that is found from a folder; a workspace's own lies elsewhere. */
  private root(directory: string, name: string): string | undefined {
    const key = `${directory}\0${name}`;
    if (this.found.has(key)) return this.found.get(key);
    const above = dirname(directory);
    const root =
      realFolder(join(directory, 'node_modules', name)) ??
      (above === directory ? fromNodePath(name) : this.root(above, name));
    this.found.set(key, root);
    return root;
  }
}

function fromNodePath(name: string): string | undefined {
  for (const folder of (process.env.NODE_PATH ?? '').split(':')) {
    const root = folder === '' ? undefined : realFolder(join(folder, name));
    if (root !== undefined) return root;
  }
  return undefined;
}

function realFolder(path: string): string | undefined {
  try {
    return realpathSync(path);
  } catch {
    return undefined;
  }
}

function lastName(packageRoot: string): string {
  return packageRoot.replace(/^.*(^|\/)node_modules\//, '');
}

function within(root: string, path: string): boolean {
  return path === root || path.startsWith(root.endsWith(sep) ? root : root + sep);
}

function stray(message: string): NemoError {
  return new NemoError('BAD_FUNCTION', message, {
    hint: 'look at what that dependency does with your files, and remove it',
  });
}
