/**
 * At deploy: which packages of a function can be kept apart from its own code. Only what behaves the same there: what
 * the function's own modules import with static `import` statements, whole, without a file in common with anything
 * that stays inside (shared state must stay one). Packages that share files with one another are one.
 */

import { readFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import type { Metafile } from 'esbuild';
import { PACKAGES } from '../tunables/index.js';

/** Packages to keep together: entry file -> specifier that it is imported by, and all files that these reach. */
export interface PackageGroup {
  entries: Map<string, string>;
  files: Set<string>;
}

type Inputs = Metafile['inputs'];

const PACKAGE = /^(.*(?:^|\/)node_modules\/(?:@[^/]+\/)?[^/]+)\//;
/** Imported for what it does: what comes after it must not run before it, and packages kept apart run first. */
const SIDE_EFFECT_IMPORT = /(^|[;\n])\s*import\s*["'](?!node:)/;

/** Folder of the package that a file belongs to; undefined: it is the function's own. */
export function packageOf(path: string): string | undefined {
  return PACKAGE.exec(path)?.[1];
}

/** Paths are relative to `folder`, as the metafile of a build of everything in one has them. */
export async function groupsToKeepApart(metafile: Metafile, folder: string): Promise<PackageGroup[]> {
  const { inputs } = metafile;
  const own = Object.keys(inputs).filter((path) => packageOf(path) === undefined);
  const wanted = new Map<string, string>();
  const inside = new Set<string>();
  for (const path of own) {
    if (SIDE_EFFECT_IMPORT.test(await readFile(resolve(folder, path), 'utf8'))) return [];
    for (const { path: to, kind, external, original = to } of inputs[path]!.imports) {
      if (external || packageOf(to) === undefined) continue;
      if (kind === 'import-statement') wanted.set(to, original);
      else for (const file of reach(inputs, to)) inside.add(file);
    }
  }
  const groups: PackageGroup[] = [];
  for (const [entry, specifier] of wanted) {
    let group: PackageGroup = { entries: new Map([[entry, specifier]]), files: reach(inputs, entry) };
    for (const other of groups.filter(({ files }) => overlap(files, group.files))) {
      group = {
        entries: new Map([...other.entries, ...group.entries]),
        files: new Set([...other.files, ...group.files]),
      };
      groups.splice(groups.indexOf(other), 1);
    }
    groups.push(group);
  }
  const used = Object.values(metafile.outputs)[0]?.inputs ?? {};
  return groups.filter(({ files }) => {
    let [whole, taken] = [0, 0];
    for (const file of files) {
      if (inside.has(file) || packageOf(file) === undefined) return false;
      whole += inputs[file]!.bytes;
      taken += used[file]?.bytesInOutput ?? 0;
    }
    // Of a package of which little is used, the bundle holds only that little.
    return taken >= PACKAGES.bytesMin && taken >= whole * PACKAGES.usedRatioMin;
  });
}

/** `name@version`, of all whose entries are in the group. */
export async function groupName({ entries }: PackageGroup, folder: string): Promise<string> {
  const names = new Set<string>();
  for (const entry of entries.keys()) {
    const root = packageOf(entry)!;
    const manifest = JSON.parse(await readFile(resolve(folder, root, 'package.json'), 'utf8')) as {
      name?: string;
      version?: string;
    };
    names.add(`${manifest.name ?? root.replace(/^.*node_modules\//, '')}@${manifest.version ?? '0'}`);
  }
  return [...names].sort().join(' ').slice(0, 200);
}

/** From where paths are told in a package's modules, so that they are the same for every function that has it. */
export function groupRoot({ entries }: PackageGroup, folder: string): string {
  const [entry] = entries.keys();
  return dirname(resolve(folder, join(packageOf(entry!)!, '..')).replace(/(\/node_modules)\/@[^/]+$/, '$1'));
}

function reach(inputs: Inputs, from: string): Set<string> {
  const files = new Set([from]);
  for (const file of files) {
    for (const { path, external } of inputs[file]?.imports ?? []) if (!external) files.add(path);
  }
  return files;
}

function overlap(a: ReadonlySet<string>, b: ReadonlySet<string>): boolean {
  for (const one of a) if (b.has(one)) return true;
  return false;
}
