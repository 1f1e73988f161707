/**
 * Reads NF profiles: YAML, checked against the published schema. Every problem is said with file, line, column and
 * key, as whoever wrote the file sees them; the schema checker itself knows only paths.
 */

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Ajv, type ErrorObject, type ValidateFunction } from 'ajv';
import { type Document, isMap, isNode, isPair, LineCounter, parseDocument } from 'yaml';
import { didYouMean } from '../did-you-mean.js';
import { NemoError } from '../errors.js';
import type { NfProfile } from './profile.js';

/** The profiles that come with NEMO (also the place of the schema). */
export const BUILTIN_PROFILES = fileURLToPath(new URL('../../../nf-profiles/', import.meta.url));

interface Problem {
  line: number;
  column: number;
  key: string;
  message: string;
  hint?: string;
}

let validator: ValidateFunction<ProfileInput> | undefined;

/** A profile as it may be written: what has a default may be left out. */
type ProfileInput = Pick<NfProfile, 'name' | 'match' | 'mode' | 'sloP99Us'> & Partial<NfProfile>;

/**
 * All profiles (*.yaml, *.yml) of the directories, in that order and by file name. Throws BAD_PROFILE with `file`, `line`,
 * `column` and `key` in its details, also for a name that is used twice; NOT_FOUND for a missing directory.
 */
export function loadProfiles(directories: readonly string[]): NfProfile[] {
  const profiles: NfProfile[] = [];
  const fileOf = new Map<string, string>();
  for (const directory of directories) {
    for (const name of listProfiles(directory)) {
      const file = join(directory, name);
      const { profile, nameAt } = parseProfile(readFileSync(file, 'utf8'), file);
      const earlier = fileOf.get(profile.name);
      if (earlier !== undefined) {
        const message = `the name ${profile.name} is taken by ${earlier}`;
        fail(file, [{ ...nameAt, key: 'name', message, hint: 'give one of the two another name' }]);
      }
      fileOf.set(profile.name, file);
      profiles.push(profile);
    }
  }
  return profiles;
}

function listProfiles(directory: string): string[] {
  try {
    return readdirSync(directory)
      .filter((name) => /\.ya?ml$/.test(name))
      .sort();
  } catch (cause) {
    throw new NemoError('NOT_FOUND', `profile directory ${directory} cannot be read`, {
      cause,
      hint: 'check the path',
    });
  }
}

/** Checks one profile. `file` is only for messages. Throws BAD_PROFILE. */
export function parseProfile(
  text: string,
  file: string,
): { profile: NfProfile; nameAt: { line: number; column: number } } {
  const lines = new LineCounter();
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false });
  const at = (offset: number) => {
    const { line, col } = lines.linePos(offset);
    return { line, column: col };
  };
  if (document.errors.length > 0)
    fail(
      file,
      document.errors.map((error) => ({ ...at(error.pos[0]), key: '', message: error.message })),
    );
  const input: unknown = document.toJS();
  validator ??= compileSchema();
  if (!validator(input)) {
    const problems = (validator.errors ?? []).filter((error) => error.keyword !== 'if');
    fail(
      file,
      problems.sort(unknownKeysFirst).map((error) => describe(error, document, at)),
    );
  }
  const nameNode = document.getIn(['name'], true);
  const profile: NfProfile = {
    ...input,
    title: input.title ?? input.name,
    latency: input.latency ?? { source: 'runqueue' },
    protection: input.protection ?? { kind: 'none' },
    harvest: input.harvest ?? true,
  };
  return { profile, nameAt: at(isNode(nameNode) ? (nameNode.range?.[0] ?? 0) : 0) };
}

/** A mistyped key is also a missing one; the typo is what its author must be told. */
function unknownKeysFirst(a: ErrorObject, b: ErrorObject): number {
  return Number(b.keyword === 'additionalProperties') - Number(a.keyword === 'additionalProperties');
}

function compileSchema(): ValidateFunction<ProfileInput> {
  // strictRequired and strictTypes forbid conditions on properties that are declared one level up, as here.
  const ajv = new Ajv({
    allErrors: true,
    strict: true,
    strictRequired: false,
    strictTypes: false,
    verbose: true,
  });
  ajv.addFormat('regex', { type: 'string', validate: isPattern });
  return ajv.compile<ProfileInput>(
    JSON.parse(readFileSync(join(BUILTIN_PROFILES, 'profile.schema.json'), 'utf8')),
  );
}

function isPattern(text: string): boolean {
  try {
    new RegExp(text);
    return true;
  } catch {
    return false;
  }
}

/** From the checker's path to the place in the text: a wrong value's own place, an unknown key's, or a map's start. */
function describe(
  error: ErrorObject,
  document: Document.Parsed,
  at: (offset: number) => { line: number; column: number },
): Problem {
  const path = error.instancePath.split('/').slice(1);
  const node = path.length === 0 ? document.contents : document.getIn(path, true);
  const start = at(isNode(node) ? (node.range?.[0] ?? 0) : 0);
  const here = path.join('.') || 'the profile';
  const params = error.params as Record<string, string | string[]>;
  switch (error.keyword) {
    case 'additionalProperties': {
      const name = String(params.additionalProperty);
      const pair = isMap(node)
        ? node.items.find((item) => isPair(item) && String(item.key) === name)
        : undefined;
      const place = isNode(pair?.key) ? at(pair.key.range?.[0] ?? 0) : start;
      const known = Object.keys((error.parentSchema as { properties: object }).properties);
      const near = didYouMean(name, known);
      const hint = near === undefined ? `known keys are ${known.join(', ')}` : `did you mean "${near}"?`;
      return { ...place, key: [...path, name].join('.'), message: `unknown key "${name}"`, hint };
    }
    case 'required': {
      const key = [...path, String(params.missingProperty)].join('.');
      return { ...start, key, message: `"${key}" is missing` };
    }
    case 'enum': {
      const values = error.schema as string[];
      const near = didYouMean(String(error.data), values);
      const message = `${here} must be one of ${values.join(', ')}`;
      const why = (error.parentSchema as { description?: string }).description;
      const hint = near === undefined ? why : `did you mean "${near}"?`;
      return { ...start, key: path.join('.'), message, ...(hint === undefined ? {} : { hint }) };
    }
    case 'format':
      return { ...start, key: path.join('.'), message: `${here} is not a regular expression: ${error.data}` };
    default:
      return { ...start, key: path.join('.'), message: `${here} ${error.message}` };
  }
}

function fail(file: string, problems: Problem[]): never {
  const [first, ...others] = problems;
  const { line, column, key, message, hint } = first!;
  const more = others.length === 0 ? '' : ` (and ${others.length} more in this file)`;
  throw new NemoError('BAD_PROFILE', `${file}:${line}:${column}: ${message}${more}`, {
    hint: hint ?? `the keys are described in ${join(BUILTIN_PROFILES, 'profile.schema.json')}`,
    details: { file, line, column, key },
  });
}
