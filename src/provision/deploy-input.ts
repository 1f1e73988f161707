/**
 * From what a user wrote to what the box stores: the one place where a deploy is checked. Pure; every refusal is
 * a BAD_REQUEST that names the field, what it was and what it may be. The code itself is checked elsewhere.
 */

import { checkPackages, type Package } from '../bundle/pack.js';
import { ENGINE_DEFAULT } from '../engine/builtin.js';
import { NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import {
  DEFAULT_NAMESPACE,
  type FunctionId,
  functionKey,
  isFunctionName,
  isNamespace,
  NAME_FORM,
  NAMESPACE_FORM,
} from '../model/function-ref.js';
import type { DeployInput } from '../model/platform.js';
import { formatBytes, formatDurationMs, parseBytes, parseDurationMs } from '../model/quantity.js';
import { checkEgress } from '../network/egress-rules.js';
import { checkSchedule } from '../triggers/schedule.js';
import { FUNCTION_LIMITS, GATEWAY, POOL } from '../tunables/index.js';

/** A spec without what only the registry knows. */
export type CheckedInput = Omit<
  FunctionSpec,
  'ref' | 'codeHash' | 'codeEnding' | 'codeBytes' | 'packages' | 'createdAt' | 'updatedAt'
> & {
  id: FunctionId;
  content: Buffer;
  packages: Package[];
  exec: 'stdio' | 'http' | undefined;
  filename: string;
};

const FIELDS = [
  'name',
  'namespace',
  'engine',
  'sharingGroup',
  'code',
  'codeBase64',
  'packages',
  'filename',
  'exec',
  'memory',
  'timeout',
  'concurrency',
  'env',
  'schedule',
  'egress',
];
const SHARING_GROUP = /^[a-z0-9][-a-z0-9_.]{0,39}$/;
const BASE64 = /^[A-Za-z0-9+/]+={0,2}$/;
const ENV_NAME = /^[A-Za-z_][A-Za-z0-9_]*$/;

/** `hostMemoryBytes`: no function may ask for more than the machine has. */
export function checkDeployInput(input: DeployInput, hostMemoryBytes: number): CheckedInput {
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    throw bad('a deploy is not a JSON object', 'send {"code": "..."}');
  }
  for (const field of Object.keys(input)) {
    if (!FIELDS.includes(field)) {
      throw bad(`'${field.slice(0, 40)}' is not a field of a deploy`, `there are ${FIELDS.join(', ')}`);
    }
  }
  const id = checkId(input);
  if (input.filename !== undefined && (typeof input.filename !== 'string' || input.filename.length > 255)) {
    throw bad('filename is not a string of at most 255 characters', 'leave it out, or name the source file');
  }
  const checked: CheckedInput = {
    id,
    engine: checkEngine(input.engine ?? ENGINE_DEFAULT),
    content: checkCode(id, input),
    packages: checkPackages(input.packages ?? []),
    exec: checkExec(input.exec),
    filename: input.filename ?? `${id.name}.ts`,
    memoryBytes: checkMemory(input.memory ?? POOL.memoryMaxDefaultBytes, hostMemoryBytes),
    timeoutMs: checkTimeout(input.timeout ?? GATEWAY.timeoutDefaultMs),
    concurrency: checkConcurrency(input.concurrency ?? 1),
    env: checkEnv(input.env ?? {}),
  };
  if (input.schedule !== undefined && input.schedule !== '') {
    if (typeof input.schedule !== 'string')
      throw bad('schedule is not a string', "for example '*/5 * * * *'");
    checkSchedule(input.schedule);
    checked.schedule = input.schedule.trim();
  }
  if (input.sharingGroup !== undefined) checked.sharingGroup = checkSharingGroup(input.sharingGroup);
  const egress = checkEgress(input.egress ?? []);
  if (egress.length > 0) checked.egress = egress;
  return checked;
}

function checkId({ name, namespace = DEFAULT_NAMESPACE }: DeployInput): FunctionId {
  if (typeof name !== 'string' || !isFunctionName(name)) {
    throw bad(`${shown(name, 'the name')} cannot name a function`, `use ${NAME_FORM}`);
  }
  if (typeof namespace !== 'string' || !isNamespace(namespace)) {
    throw bad(
      `${shown(namespace, 'namespace')} cannot name a namespace`,
      `leave it out, or use ${NAMESPACE_FORM}`,
    );
  }
  return { namespace, name, key: functionKey(namespace, name) };
}

/** For messages: `field` in place of what is not text. */
function shown(value: unknown, field: string): string {
  return typeof value === 'string' ? `'${value.slice(0, 80)}'` : field;
}

/** Which engines there are is not known here. */
function checkEngine(engine: unknown): string {
  if (typeof engine === 'string') return engine;
  throw bad('engine is not a string', '`nemo engines` lists the engines');
}

export function checkSharingGroup(group: unknown): string {
  if (typeof group === 'string' && SHARING_GROUP.test(group)) return group;
  throw bad(
    `${shown(group, 'sharingGroup')} cannot name a sharing group`,
    'leave it out, or use 1 to 40 of a-z 0-9 - _ . and start with a letter or digit',
  );
}

function checkExec(exec: unknown): 'stdio' | 'http' | undefined {
  if (exec === undefined || exec === 'stdio' || exec === 'http') return exec;
  throw bad(`exec is ${String(exec).slice(0, 40)}`, "it is 'stdio' or 'http'");
}

/** Text in `code`, or bytes in `codeBase64`. */
function checkCode({ key }: FunctionId, { code, codeBase64 }: DeployInput): Buffer {
  if (code !== undefined && codeBase64 !== undefined)
    throw bad(`function '${key}' has both code and codeBase64`, 'send one of the two');
  if (codeBase64 !== undefined) {
    if (typeof codeBase64 === 'string' && BASE64.test(codeBase64)) return Buffer.from(codeBase64, 'base64');
    throw bad('codeBase64 is not base64', 'encode the bytes of the module or program, without line breaks');
  }
  if (typeof code === 'string' && code.trim() !== '') return Buffer.from(code);
  throw bad(`function '${key}' has no code`, 'put the source text of one module into "code"');
}

function checkMemory(quantity: string | number, hostMemoryBytes: number): number {
  const bytes = parseBytes(quantity, 'memory');
  if (bytes < FUNCTION_LIMITS.memoryMinBytes) {
    throw bad(
      `memory is ${formatBytes(bytes)}, below the least of ${formatBytes(FUNCTION_LIMITS.memoryMinBytes)}`,
      'a number without a unit is bytes: write 128Mi',
    );
  }
  if (bytes > hostMemoryBytes) {
    throw bad(
      `memory is ${formatBytes(bytes)}, more than this box has`,
      `at most ${formatBytes(hostMemoryBytes)}`,
    );
  }
  return bytes;
}

function checkTimeout(quantity: string | number): number {
  const ms = parseDurationMs(quantity, 'timeout');
  const { timeoutMinMs, timeoutMaxMs } = FUNCTION_LIMITS;
  if (ms >= timeoutMinMs && ms <= timeoutMaxMs) return ms;
  throw bad(
    `timeout is ${formatDurationMs(ms)}`,
    `it may be from ${formatDurationMs(timeoutMinMs)} to ${formatDurationMs(timeoutMaxMs)}`,
  );
}

function checkConcurrency(value: unknown): number {
  const max = FUNCTION_LIMITS.concurrencyMax;
  if (typeof value === 'number' && Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw bad(`concurrency is ${String(value).slice(0, 40)}`, `it is a whole number from 1 to ${max}`);
}

export function checkEnv(env: unknown): Record<string, string> {
  if (typeof env !== 'object' || env === null || Array.isArray(env)) {
    throw bad('env is not an object', 'for example {"LEVEL": "debug"}');
  }
  const checked: Record<string, string> = {};
  let bytes = 0;
  for (const [name, value] of Object.entries(env)) {
    // An object would take the second for its own.
    if (!ENV_NAME.test(name) || name === '__proto__') {
      throw bad(`'${name.slice(0, 40)}' cannot name an environment variable`, 'use letters, digits and _');
    }
    // The value itself is never shown: it may be a secret.
    if (typeof value !== 'string' || value.includes('\0')) {
      throw bad(`the value of environment variable ${name} is not text`, 'values are strings without NUL');
    }
    bytes += name.length + Buffer.byteLength(value) + 2;
    checked[name] = value;
  }
  if (bytes > FUNCTION_LIMITS.envMaxBytes) {
    throw bad(
      `the environment takes ${formatBytes(bytes)}`,
      `at most ${formatBytes(FUNCTION_LIMITS.envMaxBytes)}: read larger things from a file or a service`,
    );
  }
  return checked;
}

function bad(message: string, hint: string): NemoError {
  return new NemoError('BAD_REQUEST', message, { hint });
}
