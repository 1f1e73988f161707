/**
 * Reads the configuration of one network function, key by key, with its default beside the key. Every complaint is a
 * BAD_CONFIG that names the key and what was expected. `end` must be called last: it refuses keys that nobody asked for.
 */

import { NemoError } from '../../model/errors.js';
import { addressWords, macBytes, type Prefix, parsePrefix } from '../address.js';

export class ConfigReader {
  readonly #where: string;
  readonly #values: Record<string, unknown>;
  readonly #known = new Set<string>();

  /** `where` opens each message, for example `firewall` or `firewall.rules[2]`. */
  constructor(where: string, config: unknown) {
    this.#where = where;
    const given = config ?? {};
    if (typeof given !== 'object' || Array.isArray(given)) {
      throw new NemoError('BAD_CONFIG', `${where}: expected an object, got ${show(given)}`);
    }
    this.#values = given as Record<string, unknown>;
  }

  fail(key: string, expected: string): never {
    throw new NemoError(
      'BAD_CONFIG',
      `${this.#where}.${key}: expected ${expected}, got ${show(this.#values[key])}`,
      {
        details: { key: `${this.#where}.${key}` },
      },
    );
  }

  has(key: string): boolean {
    return this.#values[key] !== undefined;
  }

  integer(key: string, fallback: number, min: number, max: number): number {
    const value = this.#take(key);
    if (value === undefined) return fallback;
    if (!Number.isInteger(value) || (value as number) < min || (value as number) > max) {
      this.fail(key, `a whole number from ${min} to ${max}`);
    }
    return value as number;
  }

  boolean(key: string, fallback: boolean): boolean {
    const value = this.#take(key) ?? fallback;
    return typeof value === 'boolean' ? value : this.fail(key, 'true or false');
  }

  choice<T extends string>(key: string, fallback: T, choices: readonly T[]): T {
    const value = (this.#take(key) ?? fallback) as T;
    return choices.includes(value) ? value : this.fail(key, `one of ${choices.join(', ')}`);
  }

  text(key: string, fallback: string | undefined): string {
    const value = this.#take(key) ?? fallback;
    return typeof value === 'string' && value !== '' ? value : this.fail(key, 'a text that is not empty');
  }

  address(key: string, fallback: string | undefined): { version: 4 | 6; words: Int32Array } {
    const value = this.#take(key) ?? fallback;
    return (
      (typeof value === 'string' ? addressWords(value) : undefined) ??
      this.fail(key, 'an IPv4 or IPv6 address')
    );
  }

  /** Undefined if the key is not there. */
  prefix(key: string): Prefix | undefined {
    const value = this.#take(key);
    if (value === undefined) return undefined;
    return (
      (typeof value === 'string' ? parsePrefix(value) : undefined) ??
      this.fail(key, 'a prefix like 10.0.0.0/8 or fd00::/8')
    );
  }

  mac(key: string): Uint8Array | undefined {
    const value = this.#take(key);
    if (value === undefined) return undefined;
    return (
      (typeof value === 'string' ? macBytes(value) : undefined) ??
      this.fail(key, 'a MAC address like 02:00:00:00:00:01')
    );
  }

  /** A port, or `low-high`; undefined if the key is not there. */
  ports(key: string): { low: number; high: number } | undefined {
    const value = this.#take(key);
    if (value === undefined) return undefined;
    const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(
      typeof value === 'number' ? String(value) : typeof value === 'string' ? value : '',
    );
    const low = Number(match?.[1] ?? -1);
    const high = Number(match?.[2] ?? low);
    return low >= 0 && low <= high && high <= 0xffff
      ? { low, high }
      : this.fail(key, 'a port 0..65535 or a range like 1000-2000');
  }

  /** One reader per element; `fallback` if the key is not there. */
  list(key: string, fallback: readonly unknown[]): ConfigReader[] {
    const value = this.#take(key) ?? fallback;
    if (!Array.isArray(value)) this.fail(key, 'a list');
    return (value as unknown[]).map((element, i) => new ConfigReader(`${this.#where}.${key}[${i}]`, element));
  }

  /** Refuses every key that was not read. */
  end(): void {
    const stranger = Object.keys(this.#values).find((key) => !this.#known.has(key));
    if (stranger === undefined) return;
    throw new NemoError('BAD_CONFIG', `${this.#where}: there is no setting "${stranger}"`, {
      hint: `The settings are: ${[...this.#known].join(', ')}.`,
      details: { key: `${this.#where}.${stranger}` },
    });
  }

  #take(key: string): unknown {
    this.#known.add(key);
    return this.#values[key];
  }
}

function show(value: unknown): string {
  return value === undefined ? 'nothing' : (JSON.stringify(value)?.slice(0, 60) ?? typeof value);
}
