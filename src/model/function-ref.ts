/**
 * Which function is meant. Users write `[namespace/]name[:alias]`; a name alone is in the default namespace, and without an
 * alias it is `live`, the newest version. Neither part may have a slash or a colon, so that a text has one meaning, and a `key`
 * is itself a text that names the function.
 */

import { NemoError } from './errors.js';

export const DEFAULT_NAMESPACE = 'default';
/** The alias of the newest version. */
const LIVE = 'live';

/** A function, whatever its version. */
export interface FunctionId {
  readonly namespace: string;
  readonly name: string;
  /**
   * `name` in the default namespace, `namespace/name` in others: maps and stores keep a function under it; logs, metrics and
   * messages name it so. Made once, as calls are looked up by it. It is not the name of a file: see `keyInPath`.
   */
  readonly key: string;
}

/** One version of a function. */
export interface FunctionRef extends FunctionId {
  /** 1, 2, ...: grows with every deploy of this function. */
  readonly version: number;
}

/** Without checks: of parts that were checked. */
export function functionRef(name: string, namespace = DEFAULT_NAMESPACE, version = 1): FunctionRef {
  return { namespace, name, version, key: functionKey(namespace, name) };
}

export function functionKey(namespace: string, name: string): string {
  return namespace === DEFAULT_NAMESPACE ? name : `${namespace}/${name}`;
}

const NAME = /^[a-z0-9][-a-z0-9_.]{0,62}$/;
/** A DNS label, as a namespace of Kubernetes is. */
const NAMESPACE = /^[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?$/;

export const NAME_FORM = '1 to 63 of a-z 0-9 - _ . that start with a letter or digit';
export const NAMESPACE_FORM = '1 to 63 of a-z 0-9 - that start and end with a letter or digit';

export function isFunctionName(text: string): boolean {
  return NAME.test(text);
}

export function isNamespace(text: string): boolean {
  return NAMESPACE.test(text);
}

/** What a user wrote, unchecked; undefined for parts that are not there. */
export function splitFunctionText(text: string): { namespace?: string; name: string; alias?: string } {
  const slash = text.indexOf('/');
  const colon = text.indexOf(':', slash + 1);
  return {
    ...(slash === -1 ? {} : { namespace: text.slice(0, slash) }),
    name: text.slice(slash + 1, colon === -1 ? undefined : colon),
    ...(colon === -1 ? {} : { alias: text.slice(colon + 1) }),
  };
}

/** NOT_FOUND for what cannot name a function, and for any alias but `live`. */
export function parseFunctionText(text: string): FunctionId {
  const { namespace = DEFAULT_NAMESPACE, name, alias = LIVE } = splitFunctionText(text);
  if (!isFunctionName(name) || !isNamespace(namespace)) {
    throw new NemoError('NOT_FOUND', `there is no function '${shortened(text)}'`, {
      hint: `a function is named [namespace/]name[:alias]; a name is ${NAME_FORM}, a namespace ${NAMESPACE_FORM}`,
    });
  }
  const key = functionKey(namespace, name);
  if (alias !== LIVE) {
    throw new NemoError('NOT_FOUND', `the function '${key}' has no alias '${shortened(alias)}'`, {
      hint: `leave the alias out, or write '${key}:${LIVE}' for the newest version`,
    });
  }
  return { namespace, name, key };
}

export function noSuchFunction(key: string): NemoError {
  return new NemoError('NOT_FOUND', `there is no function '${key}'`, {
    hint: "'nemo ls' lists the functions, 'nemo deploy' makes one",
  });
}

/** As part of a path or the name of a file; different keys have different ones. */
export function keyInPath(key: string): string {
  return key.replace('/', '@');
}

function shortened(text: string): string {
  return text.slice(0, 80);
}
