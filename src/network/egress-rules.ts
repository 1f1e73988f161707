/**
 * Where a function may connect to: an allow-list of `host:port`, `address:port` and `network/bits:port`, TCP over
 * IPv4. Pure: only this file decides what a rule means. Easy to get wrong: what a list allows may still be barred
 * (see `blocked-addresses.ts`), unless the operator's own list `allow` opens that very address.
 */

import { BlockList, isIPv4 } from 'node:net';
import { NemoError } from '../model/errors.js';

export type EgressRule = { port: number } & (
  | { kind: 'name'; name: string }
  | { kind: 'network'; address: string; bits: number }
);

/** Inside a sandbox each allowed name has an address of this network, in the order of the rules. */
const NAME_NETWORK = '127.77';
export const RULES_MAX = 64;
const NAME = /^(?=.{1,253}$)[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?(\.[a-z0-9_]([-a-z0-9_]{0,61}[a-z0-9])?)*$/;
const RULE = /^([^:/]+)(?:\/(\d{1,2}))?:(\d{1,5})$/;

/** Throws BAD_REQUEST, which names the rule. */
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

/** Checks the whole list of a deploy. Throws BAD_REQUEST if it is not valid. */
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
  return new NemoError('BAD_REQUEST', `${shown} is not a rule of what a function may reach`, { hint });
}

export class EgressRules {
  readonly ports: readonly number[];
  /** What becomes local inside the sandbox, beside its loopback. */
  readonly networks: ReadonlyArray<{ address: string; bits: number }>;
  private readonly byName = new Map<string, string>();
  private readonly byAddress = new Map<string, string>();
  private readonly names = new Set<string>();
  private readonly blocks = new Map<number, BlockList>();
  private readonly allowed = new Map<number, BlockList>();

  /** `allow`: the operator's rules, of written addresses. */
  constructor(rules: readonly string[], allow: readonly string[] = []) {
    const parsed = rules.map(parseEgressRule);
    this.ports = [...new Set(parsed.map((rule) => rule.port))];
    const networks = new Map<string, { address: string; bits: number }>();
    for (const rule of parsed) {
      if (rule.kind === 'name') {
        const address = this.addressOf(rule.name);
        this.byAddress.set(address, rule.name);
        this.names.add(`${rule.name}:${rule.port}`);
        continue;
      }
      const { address, bits } = rule;
      if (!address.startsWith('127.')) networks.set(`${address}/${bits}`, { address, bits });
      addTo(this.blocks, rule);
    }
    this.networks = [...networks.values()];
    for (const rule of allow.map(parseEgressRule)) if (rule.kind === 'network') addTo(this.allowed, rule);
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

  /** Whether the operator opens this address, which is barred otherwise, to functions that have it in their list. */
  opened(address: string, port: number): boolean {
    return this.allowed.get(port)?.check(address) === true;
  }
}

function addTo(blocks: Map<number, BlockList>, rule: EgressRule & { kind: 'network' }): void {
  const block = blocks.get(rule.port) ?? new BlockList();
  blocks.set(rule.port, block);
  block.addSubnet(rule.address, rule.bits);
}
