/**
 * A package as it is deployed beside a function: the ES modules that were made of it, under the sha256 of all of them.
 * What has the same hash is the same code, whoever deployed it, and lies in every sandbox under the same path: a
 * sandbox that imported it before it knew its function finds it among its modules when that function imports it.
 */

import { createHash } from 'node:crypto';
import { NemoError } from '../model/errors.js';
import type { Package, PackageInput, PackageRef } from '../model/package.js';
import { PACKAGES } from '../tunables/index.js';

/** Where a sandbox finds the packages of its function, each in the folder of its hash. */
export const PACKAGES_DIRECTORY = '/function/packages';
/** Ending of a stored package. */
export const PACKAGE_ENDING = 'pkg';

const FILE = /^[A-Za-z0-9_@][-A-Za-z0-9_.@+]{0,120}\.mjs$/;
const NAME = /^[-@a-zA-Z0-9_./+~ ]{1,200}$/;

export function packagePath(hash: string, file: string): string {
  return `${PACKAGES_DIRECTORY}/${hash}/${file}`;
}

/** The same bytes for the same modules, in whatever order they came. */
export function sealPackage({ name, entries, files }: PackageInput): Package {
  const sorted = Object.fromEntries(Object.entries(files).sort(([a], [b]) => (a < b ? -1 : 1)));
  const ordered = { name, entries: [...entries].sort(), files: sorted };
  const content = Buffer.from(JSON.stringify(ordered));
  let bytes = 0;
  for (const text of Object.values(sorted)) bytes += Buffer.byteLength(text);
  return { hash: hashOf(content), name, bytes, entries: ordered.entries, content };
}

/** Throws if the content is not what its hash says. */
export function openPackage(content: Buffer, hash: string): PackageInput {
  if (hashOf(content) !== hash) throw new Error(`the package ${hash.slice(0, 16)} is damaged`);
  return JSON.parse(content.toString()) as PackageInput;
}

/** What came with a deploy. BAD_REQUEST says which package and why. */
export function checkPackages(input: unknown): Package[] {
  if (!Array.isArray(input) || input.length > PACKAGES.perFunctionMax) {
    throw bad(`packages is not a list of at most ${PACKAGES.perFunctionMax}`);
  }
  const packages = new Map<string, Package>();
  let count = 0;
  for (const [i, one] of (input as Array<Partial<PackageInput> | null>).entries()) {
    const { name, entries, files } = one ?? {};
    if (typeof name !== 'string' || !NAME.test(name)) throw bad(`package ${i} has no name that can be shown`);
    if (typeof files !== 'object' || files === null || Array.isArray(files))
      throw bad(`the package ${name} has no files`);
    count += Object.keys(files).length;
    if (count > PACKAGES.filesMax)
      throw bad(`the packages have more than ${PACKAGES.filesMax} files together, up to those of ${name}`);
    for (const [file, text] of Object.entries(files)) {
      if (!FILE.test(file)) throw bad(`'${file.slice(0, 80)}' cannot name a file of the package ${name}`);
      if (typeof text !== 'string') throw bad(`${file} of the package ${name} is not text`);
    }
    const there = (entry: unknown) => typeof entry === 'string' && Object.hasOwn(files, entry);
    if (!Array.isArray(entries) || entries.length === 0 || !entries.every(there)) {
      throw bad(`the package ${name} names entries that are not among its files`);
    }
    if (new Set(entries).size < entries.length) throw bad(`the package ${name} names an entry twice`);
    const sealed = sealPackage({ name, entries, files });
    packages.set(sealed.hash, sealed);
  }
  return [...packages.values()];
}

/** Packages and imports must be the same: a stem of a function's packages runs nothing that the function would not. */
export function requireImported(packages: readonly PackageRef[], imports: readonly string[]): void {
  const brought = new Map<string, string>();
  for (const { hash, name, entries } of packages) {
    for (const entry of entries) brought.set(packagePath(hash, entry), name);
  }
  for (const path of imports) {
    if (path.startsWith(PACKAGES_DIRECTORY) && !brought.delete(path)) {
      throw new NemoError('BAD_FUNCTION', `the code imports ${path}, which did not come with it`, {
        hint: 'deploy with `nemo deploy`, which sends packages and code together',
      });
    }
  }
  const [unused] = brought.values();
  if (unused !== undefined) throw bad(`the code does not import all of the package ${unused}`);
}

function hashOf(content: Buffer): string {
  return createHash('sha256').update(content).digest('hex');
}

function bad(message: string): NemoError {
  return new NemoError('BAD_REQUEST', message, {
    hint: 'deploy with `nemo deploy`, or put everything into the code',
  });
}
