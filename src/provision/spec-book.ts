/**
 * The functions that this box knows, within what it holds: all specs are in memory, also in that of the next agent; without
 * a bound, none would start any more.
 */

import { NemoError } from '../model/errors.js';
import type { FunctionSpec } from '../model/function.js';
import { FUNCTION_LIMITS } from '../tunables/index.js';

export class SpecBook {
  /** By `FunctionRef.key`. */
  private readonly specs = new Map<string, FunctionSpec>();
  /** What each spec takes, and all of them. */
  private readonly bytesOf = new Map<string, number>();
  private bytes = 0;

  get(key: string): FunctionSpec | undefined {
    return this.specs.get(key);
  }

  list(): FunctionSpec[] {
    return [...this.specs.values()].sort((a, b) => (a.ref.key < b.ref.key ? -1 : 1));
  }

  keep(spec: FunctionSpec): void {
    const { key } = spec.ref;
    const bytes = sizeOf(key, spec);
    this.bytes += bytes - (this.bytesOf.get(key) ?? 0);
    this.bytesOf.set(key, bytes);
    this.specs.set(key, spec);
  }

  delete(key: string): void {
    this.specs.delete(key);
    this.bytes -= this.bytesOf.get(key) ?? 0;
    this.bytesOf.delete(key);
  }

  hasRoom(key: string, wanted: object): boolean {
    const { specsMaxBytes, specMaxBytes } = FUNCTION_LIMITS;
    const others = this.bytes - (this.bytesOf.get(key) ?? 0);
    const bytes = sizeOf(key, wanted);
    return !this.isTooMany(key) && bytes <= specMaxBytes && others + bytes <= specsMaxBytes;
  }

  /** BAD_REQUEST for one that is too large by itself, STORAGE_FULL. */
  requireRoom(key: string, wanted: object): void {
    if (this.hasRoom(key, wanted)) return;
    const { functionsMax, specMaxBytes } = FUNCTION_LIMITS;
    if (sizeOf(key, wanted) > specMaxBytes) {
      const message = `what is to be kept of '${key}' takes more than ${specMaxBytes} bytes`;
      throw new NemoError('BAD_REQUEST', message, {
        hint: 'import fewer files of its packages, or give it less environment',
      });
    }
    const what = this.isTooMany(key)
      ? `${functionsMax} functions`
      : 'environments of functions that take all room there is';
    throw new NemoError('STORAGE_FULL', `this box has ${what}`, {
      hint: 'remove functions that nobody needs',
    });
  }

  private isTooMany(key: string): boolean {
    return this.specs.size >= FUNCTION_LIMITS.functionsMax && !this.specs.has(key);
  }
}

function sizeOf(key: string, spec: object): number {
  return Buffer.byteLength(JSON.stringify({ ...spec, ref: key }));
}
