/**
 * From what stands in the store to the spec of a function. Whoever else can write a shared store decides what stands
 * there: what no deploy would have made is no spec here, so that one value cannot keep all other functions from coming back,
 * or have what no caller may have.
 */

import { ENGINE_DEFAULT } from '../engine/builtin.js';
import type { FunctionSpec } from '../model/function.js';
import { DEFAULT_NAMESPACE, functionRef, isFunctionName, isNamespace } from '../model/function-ref.js';
import type { PackageRef } from '../model/package.js';
import { checkEgress } from '../network/egress-rules.js';
import { checkSchedule } from '../triggers/schedule.js';
import { FUNCTION_LIMITS, PACKAGES } from '../tunables/index.js';
import { checkEnv, checkSharingGroup } from './deploy-input.js';

/** The ref in parts, the default namespace left out: so it was stored before there were namespaces. */
export type StoredSpec = Omit<FunctionSpec, 'ref'> & { name: string; namespace?: string; version: number };

/** What earlier agents stored lacks some of these. */
const LATER_FIELDS = { engine: ENGINE_DEFAULT, codeEnding: 'mjs', version: 1 };
/** What earlier agents gave to functions that shared their process with all others which named nobody. */
const FORMER_OWNER_DEFAULT = 'default';
const HASH = /^[0-9a-f]{64}$/;
const ENDING = /^[a-z0-9]{1,8}$/;
const ENGINE = /^[a-z0-9-]{1,40}$/;
const TIME = /^\d{4}-\d\d-\d\dT[\d:.]{8,12}Z$/;
/** As npm has it. */
const PACKAGE_NAME_MAX = 214;

type Check = (value: unknown) => boolean;
const text: Check = (value) => typeof value === 'string';
const count: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const within =
  (min: number, max: number): Check =>
  (value) =>
    Number.isFinite(value) && (value as number) >= min && (value as number) <= max;
const like =
  (form: RegExp): Check =>
  (value) =>
    text(value) && form.test(value as string);
const hash = like(HASH);
const texts: Check = (value) => Array.isArray(value) && value.every(text);
/** As a deploy is checked. */
const deployable =
  (check: (value: never) => unknown): Check =>
  (value) => {
    try {
      check(value as never);
      return true;
    } catch {
      return false;
    }
  };
const optional =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const CHECKS: Record<keyof StoredSpec, Check> = {
  name: (value) => text(value) && isFunctionName(value as string),
  namespace: optional((value) => text(value) && isNamespace(value as string)),
  version: isVersion,
  engine: like(ENGINE),
  sharingGroup: optional(deployable(checkSharingGroup)),
  codeHash: hash,
  // With the hash, a file's name.
  codeEnding: like(ENDING),
  codeBytes: count,
  packages: optional(
    (value) => Array.isArray(value) && value.length <= PACKAGES.perFunctionMax && value.every(isPackageRef),
  ),
  // The box may have less; that is not known here.
  memoryBytes: within(FUNCTION_LIMITS.memoryMinBytes, Number.MAX_SAFE_INTEGER),
  timeoutMs: within(FUNCTION_LIMITS.timeoutMinMs, FUNCTION_LIMITS.timeoutMaxMs),
  concurrency: (value) => count(value) && within(1, FUNCTION_LIMITS.concurrencyMax)(value),
  env: deployable(checkEnv),
  egress: optional(deployable(checkEgress)),
  schedule: optional((value) => text(value) && deployable(checkSchedule)(value)),
  createdAt: like(TIME),
  updatedAt: like(TIME),
};

export function toStored({ ref: { namespace, name, version }, ...spec }: FunctionSpec): StoredSpec {
  return { name, ...(namespace === DEFAULT_NAMESPACE ? {} : { namespace }), ...spec, version };
}

export function isVersion(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 1;
}

/**
 * An owner that was named is a sharing group now; one that was given is none. Undefined for what is not a spec of the function
 * with that key, or asks for more than the machine has.
 */
export function toSpec(stored: unknown, key: string, hostMemoryBytes: number): FunctionSpec | undefined {
  if (!isObject(stored)) return undefined;
  const { owner } = stored;
  const fields: Record<string, unknown> = { ...LATER_FIELDS, ...stored };
  if (owner !== undefined && owner !== FORMER_OWNER_DEFAULT) fields.sharingGroup = owner;
  const known = Object.keys(CHECKS).filter((field) => fields[field] !== undefined);
  if (!Object.entries(CHECKS).every(([field, check]) => check(fields[field]))) return undefined;
  const sound = Object.fromEntries(known.map((field) => [field, fields[field]])) as unknown as StoredSpec;
  const { name, namespace, version, ...spec } = sound;
  const ref = functionRef(name, namespace, version);
  return ref.key === key && spec.memoryBytes <= hostMemoryBytes ? { ref, ...spec } : undefined;
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isPackageRef(value: unknown): value is PackageRef {
  return (
    isObject(value) &&
    hash(value.hash) &&
    text(value.name) &&
    (value.name as string).length <= PACKAGE_NAME_MAX &&
    count(value.bytes) &&
    texts(value.entries)
  );
}
