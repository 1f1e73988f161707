/**
 * Reads NF profiles: YAML, checked against their schema (published as nf-profiles/profile.schema.json), with defaults
 * filled in.
 */

import { closeSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { openTrusted, readTrusted } from '../linux/trusted-file.js';
import { compileSchema, failAt, type Place, parseCheckedYaml, type YamlKind } from '../model/checked-yaml.js';
import { NemoError } from '../model/errors.js';
import type { NfProfile } from '../model/nf-profile.js';
import { PROFILE_SCHEMA, type ProfileInput } from '../model/nf-profile-schema.js';

/** The profiles that come with NEMO (also the place of the schema). */
export const BUILTIN_PROFILES = fileURLToPath(new URL('../../../nf-profiles/', import.meta.url));

let kind: YamlKind<ProfileInput> | undefined;

function profileKind(): YamlKind<ProfileInput> {
  const file = join(BUILTIN_PROFILES, 'profile.schema.json');
  kind ??= {
    code: 'BAD_PROFILE',
    what: 'the profile',
    hint: `the keys are described in ${file}`,
    validate: compileSchema<ProfileInput>(PROFILE_SCHEMA),
  };
  return kind;
}

/**
 * All profiles (*.yaml, *.yml) of the directories, in that order and by file name. Throws BAD_PROFILE with `file`, `line`,
 * `column` and `key` in its details, also for a name that is used twice, and for a file or directory that others than root,
 * or the user of this process, can change; NOT_FOUND for a missing directory.
 */
export function loadProfiles(directories: readonly string[]): NfProfile[] {
  const profiles: NfProfile[] = [];
  const fileOf = new Map<string, string>();
  for (const directory of directories) {
    for (const name of listProfiles(directory)) {
      const file = join(directory, name);
      const { profile, nameAt } = parseProfile(readProfile(directory, file), file);
      const earlier = fileOf.get(profile.name);
      if (earlier !== undefined) {
        const message = `the name ${profile.name} is taken by ${earlier}`;
        const hint = 'give one of the two another name';
        failAt(file, [{ ...nameAt, key: 'name', message, hint }], profileKind());
      }
      fileOf.set(profile.name, file);
      profiles.push(profile);
    }
  }
  return profiles;
}

/** Whoever can change what comes with NEMO can change its code. */
function readProfile(directory: string, path: string): string {
  if (directory === BUILTIN_PROFILES) return readFileSync(path, 'utf8');
  return readTrusted({ path, what: 'the profile', code: 'BAD_PROFILE' });
}

function listProfiles(directory: string): string[] {
  try {
    if (directory !== BUILTIN_PROFILES) {
      closeSync(openTrusted({ path: directory, what: 'the profile directory', code: 'BAD_PROFILE' }));
    }
    return readdirSync(directory)
      .filter((name) => /\.ya?ml$/.test(name))
      .sort();
  } catch (cause) {
    if (cause instanceof NemoError) throw cause;
    throw new NemoError('NOT_FOUND', `profile directory ${directory} cannot be read`, {
      cause,
      hint: 'check the path',
    });
  }
}

/** Checks one profile. `file` is only for messages. Throws BAD_PROFILE. */
export function parseProfile(text: string, file: string): { profile: NfProfile; nameAt: Place } {
  const { value, placeOf } = parseCheckedYaml(text, file, profileKind());
  const profile: NfProfile = {
    ...value,
    title: value.title ?? value.name,
    latency: value.latency ?? { source: 'runqueue' },
    protection: value.protection ?? { kind: 'none' },
    harvest: value.harvest ?? true,
  };
  return { profile, nameAt: placeOf('name') };
}
