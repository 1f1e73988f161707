/**
 * What the functions of a trace import, which traces do not tell: a JSON file that says it, or supposes it.
 *
 *   { "packages": { "ajv": { "loadMs": 24, "kib": 3000 } }, "functions": { "<name>": ["ajv"] }, "others": [] }
 */

import { readFileSync } from 'node:fs';
import { NemoError } from '../model/errors.js';
import type { ImportedPackage } from '../policy/prewarm/policy.js';

interface PackagesFile {
  packages?: Record<string, { loadMs?: number; kib?: number }>;
  functions?: Record<string, string[]>;
  /** Of functions that are not named. */
  others?: string[];
}

/** By the index of a function. BAD_CONFIG for what is no such file. */
export function readPackages(file: string, functionNames: readonly string[]): ImportedPackage[][] {
  let content: PackagesFile;
  try {
    content = JSON.parse(readFileSync(file, 'utf8')) as PackagesFile;
  } catch (error) {
    throw bad(file, (error as Error).message);
  }
  const { packages = {}, functions = {}, others = [] } = content;
  const imported = (names: unknown): ImportedPackage[] => {
    if (!Array.isArray(names)) throw bad(file, 'the packages of a function are a list of names');
    return names.map((hash: string) => {
      const { loadMs, kib = 0 } = packages[hash] ?? {};
      if (typeof loadMs !== 'number') throw bad(file, `it says no loadMs of the package ${hash}`);
      return { hash, loadMs, bytes: kib * 1024 };
    });
  };
  return functionNames.map((name) => imported(functions[name] ?? others));
}

function bad(file: string, message: string): NemoError {
  return new NemoError('BAD_CONFIG', `${file}: ${message}`, {
    hint: '{"packages": {"ajv": {"loadMs": 24, "kib": 3000}}, "functions": {"name": ["ajv"]}, "others": ["ajv"]}',
  });
}
