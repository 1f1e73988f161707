/**
 * Where a function may connect to: an allow-list of `host:port`, `address:port` and `network/bits:port`, TCP over
 * IPv4. Pure: what a rule means is decided here, and nowhere else. Easy to get wrong: a *name* must never lead to
 * this very machine or its cloud's metadata service, whatever its DNS says; a written address may.
 */

import { BlockList, isIPv4 } from 'node:net';
import { NemoError } from '../errors.js';

export type EgressRule = { port: number } & (
  | { kind: 'name'; name: string }
  | { kind: 'network'; address: string; bits: number }
);

/** Inside a sandbox each allowed name has an address of this network, in the order of the rules. */
const NAME_NETWORK = '127.77';
export const RULES_MAX = 64;
const NAME = /^(?=.{1,253}$)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?)*$/;
const RULE = /^([^:/]+)(?:\/(\d{1,2}))?:(\d{1,5})$/;

/** Where no name may lead. */
const OWN = new BlockList();
OWN.addSubnet('0.0.0.0', 8);
OWN.addSubnet('127.0.0.0', 8);
OWN.addSubnet('169.254.0.0', 16);
OWN.addSubnet('224.0.0.0', 3);

/** BAD_REQUEST naming the rule. */
export function parseEgressRule(text: unknown): EgressRule {
  const parts = typeof text === 'string' ? RULE.exec(text.toLowerCase()) : null;
  if (parts === null)
    throw badRule(text, 'write host:port, address:port or network/bits:port, TCP over IPv4');
  const [, host, bitsText, portText] = parts as unknown as [string, string, string | undefined, string];
  const port = Number(portText);
  if (port < 1 || port > 65_535) throw badRule(text, 'ports go from 1 to 65535');
  if (isIPv4(host)) {
    const bits = bitsText === undefined ? 32 : Number(bitsText);
    if (bits < 8 || bits > 32) throw badRule(text, 'networks have 8 to 32 bits');
    if (host.startsWith(NAME_NETWORK)) throw badRule(text, `${NAME_NETWORK}.0.0/16 stands for allowed names`);
    return { kind: 'network', address: host, bits, port };
  }
  if (bitsText !== undefined || !NAME.test(host) || /^[\d.]+$/.test(host)) {
    throw badRule(text, 'write host:port, address:port or network/bits:port, TCP over IPv4');
  }
  return { kind: 'name', name: host, port };
}

/** The whole list of a deploy: BAD_REQUEST if it is none. */
export function checkEgress(list: unknown): string[] {
  if (!Array.isArray(list) || list.length > RULES_MAX) {
    throw badRule(
      list,
      `egress is a list of at most ${RULES_MAX} rules, for example ["api.example.com:443"]`,
    );
  }
  for (const rule of list) parseEgressRule(rule);
  return [...new Set(list.map((rule: string) => rule.toLowerCase()))];
}

function badRule(text: unknown, hint: string): NemoError {
  const shown = typeof text === 'string' ? `'${text.slice(0, 80)}'` : typeof text;
  return new NemoError('BAD_REQUEST', `${shown} is no rule of what a function may reach`, { hint });
}

export class EgressRules {
  readonly ports: readonly number[];
  /** What becomes local inside the sandbox, beside its loopback: `address/bits`. */
  readonly networks: readonly string[];
  private readonly byName = new Map<string, string>();
  private readonly byAddress = new Map<string, string>();
  private readonly names = new Set<string>();
  private readonly blocks = new Map<number, BlockList>();

  constructor(rules: readonly string[]) {
    const parsed = rules.map(parseEgressRule);
    this.ports = [...new Set(parsed.map((rule) => rule.port))];
    const networks = new Set<string>();
    for (const rule of parsed) {
      if (rule.kind === 'name') {
        const address = this.addressOf(rule.name);
        this.byAddress.set(address, rule.name);
        this.names.add(`${rule.name}:${rule.port}`);
        continue;
      }
      if (!rule.address.startsWith('127.')) networks.add(`${rule.address}/${rule.bits}`);
      const block = this.blocks.get(rule.port) ?? new BlockList();
      this.blocks.set(rule.port, block);
      block.addSubnet(rule.address, rule.bits);
    }
    this.networks = [...networks];
  }

  private addressOf(name: string): string {
    const known = this.byName.get(name);
    if (known !== undefined) return known;
    const index = this.byName.size + 1;
    const address = `${NAME_NETWORK}.${index >> 8}.${index & 255}`;
    this.byName.set(name, address);
    return address;
  }

  /** The sandbox's /etc/hosts. */
  hosts(): string {
    const lines = [...this.byName].map(([name, address]) => `${address} ${name}`);
    return ['127.0.0.1 localhost', ...lines, ''].join('\n');
  }

  /** What a connection inside to `address:port` goes to outside; undefined if that is not allowed. */
  target(address: string, port: number): { host: string; isName: boolean } | undefined {
    const name = this.byAddress.get(address);
    if (name !== undefined)
      return this.names.has(`${name}:${port}`) ? { host: name, isName: true } : undefined;
    if (this.blocks.get(port)?.check(address)) return { host: address, isName: false };
    return undefined;
  }
}

/** Whether a name may stand for this address. */
export function mayStandFor(address: string): boolean {
  return isIPv4(address) && !OWN.check(address);
}
