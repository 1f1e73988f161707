/**
 * What the names of one function's allow-list stand for now. Bounded, whatever its name servers do: one look-up of a name at
 * a time, a few names at a time, an answer or a failure is kept for a while, and none is waited for longer than its limit.
 * No look-up holds a thread of the agent.
 */

import { readFileSync } from 'node:fs';
import { isIPv4 } from 'node:net';
import { EGRESS } from '../tunables/index.js';

export interface Resolved {
  address: string;
  ttlS: number;
}

/** IPv4 only; rejects, or resolves with nothing, for a name that there is not. */
export type Resolve = (name: string) => Promise<readonly Resolved[]>;

interface Answer {
  addresses: readonly string[];
  untilMs: number;
}

export class Lookups {
  private readonly kept = new Map<string, Answer>();
  private readonly running = new Map<string, Promise<readonly string[]>>();
  private readonly waiting: Array<() => void> = [];
  private active = 0;

  constructor(
    private readonly resolve: Resolve,
    private readonly nowMs: () => number = () => performance.now(),
  ) {}

  /** Its addresses, in the order of the answer; none if there is no such name or no answer in time. */
  addresses(name: string): Promise<readonly string[]> {
    const kept = this.kept.get(name);
    if (kept !== undefined && kept.untilMs > this.nowMs()) return Promise.resolve(kept.addresses);
    const running = this.running.get(name);
    if (running !== undefined) return running;
    const asked = within(EGRESS.lookupTimeoutMs, this.ask(name)).finally(() => this.running.delete(name));
    this.running.set(name, asked);
    return asked;
  }

  private async ask(name: string): Promise<readonly string[]> {
    if (this.active >= EGRESS.lookupsParallel) await new Promise<void>((turn) => this.waiting.push(turn));
    this.active++;
    try {
      const found = await this.resolve(name);
      const ttlMs = Math.min(...found.map(({ ttlS }) => ttlS * 1_000), EGRESS.answerMaxMs);
      const addresses = found.map(({ address }) => address).filter(isIPv4);
      return this.keep(name, addresses.slice(0, EGRESS.addressesMax), ttlMs);
    } catch {
      return this.keep(name, [], 0);
    } finally {
      this.active--;
      this.waiting.shift()?.();
    }
  }

  private keep(name: string, addresses: readonly string[], ttlMs: number): readonly string[] {
    this.kept.set(name, { addresses, untilMs: this.nowMs() + Math.max(ttlMs, EGRESS.answerMinMs) });
    return addresses;
  }
}

function within(limitMs: number, work: Promise<readonly string[]>): Promise<readonly string[]> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve([]), limitMs);
    void work.then(resolve).finally(() => clearTimeout(timer));
  });
}

/** `name` as hosts(5) has it; empty if it does not. */
export function fromHosts(hosts: string, name: string): string[] {
  const found: string[] = [];
  for (const line of hosts.split('\n')) {
    const [address = '', ...names] = line.replace(/#.*/, '').trim().split(/\s+/);
    if (isIPv4(address) && names.some((one) => one.toLowerCase() === name)) found.push(address);
  }
  return found;
}

/** The file /etc/hosts of this box first, then its name servers. */
export function hostsThen(servers: Resolve, hostsPath = '/etc/hosts'): Resolve {
  return async (name) => {
    const written = fromHosts(readFileSync(hostsPath, 'utf8'), name);
    return written.length > 0 ? written.map((address) => ({ address, ttlS: 0 })) : servers(name);
  };
}
