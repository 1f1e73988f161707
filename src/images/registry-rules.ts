/**
 * Where a pull may go, on the word of a caller and of a registry. Pure. Callers name registries, registries name where
 * tokens and blobs are, and names have addresses: none of them may lead to what only this box can reach. What the
 * operator's configuration names is trusted further, but to a metadata service nothing leads.
 */

import { BlockList, isIP, isIPv4 } from 'node:net';
import { getDomain } from 'tldts';

/** A registry that the operator named. */
export interface RegistryRule {
  /** With its port, if it has one. */
  host: string;
  /** Plain HTTP. */
  insecure: boolean;
  /** May have an address of a private network, or of this box. */
  private: boolean;
  /** Where else it may send for tokens and blobs. */
  follow: readonly string[];
}

export interface RegistryAccess {
  /** A docker config.json. */
  logins: string | undefined;
  hosts: readonly RegistryRule[];
}

/** Public registries whose blobs lie at hosts of another site. A leading dot: any host below it. */
const WELL_KNOWN: Record<string, readonly string[]> = {
  'registry-1.docker.io': ['.docker.com', '.r2.cloudflarestorage.com'],
  'ghcr.io': ['pkg-containers.githubusercontent.com'],
  'quay.io': ['.quayio-production-s3.s3.amazonaws.com', '.cloudfront.net'],
  'gcr.io': ['storage.googleapis.com'],
  'registry.k8s.io': ['.pkg.dev', '.amazonaws.com', 'storage.googleapis.com'],
  'public.ecr.aws': ['.cloudfront.net'],
  'registry.gitlab.com': ['storage.googleapis.com'],
};

const NEVER = blocks([
  ['169.254.0.0', 16],
  ['100.100.100.200', 32],
  ['168.63.129.16', 32],
  ['0.0.0.0', 8],
  ['192.0.0.0', 24],
  ['224.0.0.0', 3],
  ['fe80::', 10],
  ['ff00::', 8],
  ['fd00:ec2::', 32],
]);
const PRIVATE = blocks([
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['172.16.0.0', 12],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
]);
/** Of IPv6 only what is routed, without the kinds that carry an IPv4 address in them. */
const PUBLIC_V6 = blocks([['2000::', 3]]);
const CARRIES_V4 = blocks([
  ['2001::', 32],
  ['2001:db8::', 32],
  ['2002::', 16],
]);

export function ruleOf(host: string, { hosts }: RegistryAccess): RegistryRule | undefined {
  return hosts.find((rule) => rule.host.toLowerCase() === host.toLowerCase());
}

/** Whether `to` is the registry itself, or a host that the operator named beside it. */
export function isNamed(to: URL, from: string, rule: RegistryRule | undefined): boolean {
  return to.host === normal(from, to) || (rule?.follow ?? []).some((host) => to.host === normal(host, to));
}

/** As a URL of this scheme has it. */
function normal(host: string, { protocol }: URL): string {
  const url = `${protocol}//${host}`;
  return URL.canParse(url) ? new URL(url).host : host;
}

/** Whether a pull from the registry `from` may ask `to`. */
export function mayAsk(to: URL, from: string, rule: RegistryRule | undefined): boolean {
  if (to.username !== '' || to.password !== '') return false;
  const here = to.host === normal(from, to);
  if (to.protocol === 'http:') return rule?.insecure === true && here;
  if (to.protocol !== 'https:') return false;
  if (here) return true;
  const matches = (name: string): boolean =>
    name.startsWith('.') ? to.host.endsWith(name) : to.host === name;
  return sameSite(to.hostname, from) || isNamed(to, from, rule) || (WELL_KNOWN[from] ?? []).some(matches);
}

/** By the public suffix list: hosts of one owner, `auth.example.co.uk` and `registry.example.co.uk`. */
function sameSite(host: string, from: string): boolean {
  const options = { allowPrivateDomains: true };
  const site = getDomain(host, options);
  return site !== null && isIP(host) === 0 && site === getDomain(hostname(from), options);
}

/** Without its port. */
function hostname(host: string): string {
  return host.replace(/:\d+$/, '');
}

/**
 * Whether a pull may connect to `address`. `own`: addresses of this box, which reach what listens on it as 127.0.0.1 does.
 */
export function mayConnect(
  address: string,
  rule: RegistryRule | undefined,
  own: ReadonlySet<string>,
): boolean {
  const plain = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
  const family = isIPv4(plain) ? 'ipv4' : 'ipv6';
  if (isIP(plain) === 0 || NEVER.check(plain, family)) return false;
  if (rule?.private === true) return true;
  if (own.has(plain)) return false;
  if (family === 'ipv4') return !PRIVATE.check(plain, family);
  return PUBLIC_V6.check(plain, family) && !CARRIES_V4.check(plain, family);
}

function blocks(networks: ReadonlyArray<readonly [string, number]>): BlockList {
  const list = new BlockList();
  for (const [address, bits] of networks) list.addSubnet(address, bits, isIPv4(address) ? 'ipv4' : 'ipv6');
  return list;
}
