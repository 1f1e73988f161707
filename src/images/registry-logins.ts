/**
 * Logins of registries, from a docker config.json that the operator names. Helpers are programs, and none is run. Read
 * at each pull: an operator may change it at any time, and nobody else may.
 */

import { closeSync, fstatSync, readFileSync } from 'node:fs';
import { openTrusted } from '../linux/trusted-file.js';
import { NemoError } from '../model/errors.js';
import { OCI } from '../tunables/index.js';

const HUB = 'registry-1.docker.io';
/** As `docker login` writes them. */
const HUB_KEYS = ['https://index.docker.io/v1/', 'index.docker.io', 'docker.io', HUB];

/** The value of an Authorization header for `host`; undefined without a login. BAD_CONFIG. */
export function loginFor(host: string, file: string | undefined): string | undefined {
  if (file === undefined) return undefined;
  let text: string;
  try {
    const fd = openTrusted({
      path: file,
      what: 'the file with the logins of registries',
      code: 'BAD_CONFIG',
    });
    try {
      if (fstatSync(fd).size > OCI.documentMaxBytes) throw new Error('it is too large');
      text = readFileSync(fd, 'utf8');
    } finally {
      closeSync(fd);
    }
  } catch (thrown) {
    if (thrown instanceof NemoError) throw thrown;
    throw unusable(`the logins of registries cannot be read: ${(thrown as Error).message}`);
  }
  return parseLogin(text, host);
}

/** Pure. BAD_CONFIG, whose words tell nothing of a password. */
export function parseLogin(text: string, host: string): string | undefined {
  let config: unknown;
  try {
    config = JSON.parse(text);
  } catch {
    throw unusable('the file with the logins of registries is not JSON');
  }
  const keys = host === HUB ? HUB_KEYS : [host, `https://${host}`, `https://${host}/`];
  const auths = asMap(asMap(config).auths);
  const entry = asMap(keys.map((key) => own(auths, key)).find((one) => one !== undefined));
  const { auth, username, password, identitytoken } = entry;
  if (typeof auth === 'string' && auth !== '') {
    const decoded = Buffer.from(auth, 'base64').toString();
    if (!decoded.includes(':')) throw unusable(`the login of ${host} is not a name and a password`);
    return basic(decoded);
  }
  if (typeof username === 'string' && typeof password === 'string') return basic(`${username}:${password}`);
  if (identitytoken !== undefined)
    throw unusable(`the login of ${host} is an identity token, which is not supported`);
  const helpers = asMap(asMap(config).credHelpers);
  const helped = keys.some((key) => own(helpers, key) !== undefined);
  // `docker login` leaves an empty entry where a helper has the login.
  const stored = Object.keys(auths).some((key) => keys.includes(key)) && own(asMap(config), 'credsStore');
  if (helped || stored)
    throw unusable(
      `the login of ${host} is kept by a credential helper, which is a program: none is run here`,
    );
  return undefined;
}

function basic(pair: string): string {
  return `Basic ${Buffer.from(pair).toString('base64')}`;
}

function own(map: Record<string, unknown>, key: string): unknown {
  return Object.hasOwn(map, key) ? map[key] : undefined;
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function unusable(message: string): NemoError {
  return new NemoError('BAD_CONFIG', message, {
    hint: 'registries.logins names a docker config.json that has `auths` with `auth` in base64',
  });
}
