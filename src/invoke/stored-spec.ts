/**
 * From what stands in the store to the spec of a function. Whoever else can write a shared store decides what stands
 * there: what is no spec is none here, so that one value cannot keep all other functions from coming back.
 */

import { ENGINE_DEFAULT } from '../sandbox/engines/builtin.js';
import type { PackageRef } from '../sandbox/packages/pack.js';
import { isFunctionName } from './deploy-input.js';
import type { FunctionSpec } from './function.js';

/** What an agent stored that knew one engine lacks these. */
const LATER_FIELDS = { engine: ENGINE_DEFAULT, codeEnding: 'mjs' };
/** What earlier agents gave to functions that shared their process with all others which named nobody. */
const FORMER_OWNER_DEFAULT = 'default';
const HASH = /^[0-9a-f]{64}$/;
const ENDING = /^[a-z0-9]{1,8}$/;

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === 'string';
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const positive: Check = (value) => Number.isFinite(value) && (value as number) > 0;
const hash: Check = (value) => text(value) && HASH.test(value as string);
const texts: Check = (value) => Array.isArray(value) && value.every(text);
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const CHECKS: Record<keyof FunctionSpec, Check> = {
  name: (value) => text(value) && isFunctionName(value as string),
  engine: text,
  sharingGroup: optional(text),
  codeHash: hash,
  // With the hash, a file's name.
  codeEnding: (value) => text(value) && ENDING.test(value as string),
  codeBytes: count,
  packages: optional((value) => Array.isArray(value) && value.every(isPackageRef)),
  memoryBytes: positive,
  timeoutMs: positive,
  concurrency: positive,
  env: (value) => isObject(value) && Object.values(value).every(text),
  egress: optional(texts),
  schedule: optional(text),
  createdAt: text,
  updatedAt: text,
};

/** An owner that was named is a sharing group now; one that was given is none. Undefined for what is no spec. */
export function toSpec(stored: unknown): FunctionSpec | undefined {
  if (!isObject(stored)) return undefined;
  const { owner, ...fields } = stored;
  const spec: Record<string, unknown> = { ...LATER_FIELDS, ...fields };
  if (owner !== undefined && owner !== FORMER_OWNER_DEFAULT) spec.sharingGroup = owner;
  const sound = Object.entries(CHECKS).every(([field, check]) => check(spec[field]));
  return sound ? (spec as unknown as FunctionSpec) : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPackageRef(value: unknown): value is PackageRef {
  return (
    isObject(value) && hash(value.hash) && text(value.name) && count(value.bytes) && texts(value.entries)
  );
}
