/**
 * Shares of the last-level cache and of memory bandwidth for functions, by resctrl (Intel RDT, AMD QoS;
 * https://docs.kernel.org/arch/x86/resctrl.html). Only functions are limited: NFs stay in the root group, which may use
 * everything. A process joins by writing 0 into `tasksPath`; its children inherit that.
 */

import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { NemoError } from '../model/errors.js';
import { textIfThere } from './if-there.js';

export const RESCTRL_ROOT = '/sys/fs/resctrl';

export interface ResctrlLimits {
  /** Of the ways of each last-level cache, above 0 to 1. */
  cacheShare?: number;
  /** Of the memory bandwidth, above 0 to 1. */
  bandwidthShare?: number;
}

export class ResctrlGroup {
  private constructor(readonly path: string) {}

  get tasksPath(): string {
    return join(this.path, 'tasks');
  }

  /**
   * Makes the group, or takes over one that a dead agent left. Throws UNSUPPORTED where resctrl is not mounted or cannot
   * limit what is asked for, SYSCALL if the kernel refuses.
   */
  static open(name: string, limits: ResctrlLimits, root = RESCTRL_ROOT): ResctrlGroup {
    if (!existsSync(join(root, 'schemata'))) {
      throw new NemoError('UNSUPPORTED', 'resctrl is not mounted', {
        hint: 'mount -t resctrl resctrl /sys/fs/resctrl; it needs Intel RDT or AMD QoS',
      });
    }
    const lines = schemataFor(
      textIfThere(join(root, 'schemata')),
      limits,
      Number(textIfThere(join(root, 'info/L3/min_cbm_bits')) || 1),
    );
    const path = join(root, name);
    try {
      mkdirSync(path, { recursive: true });
      // One line a write: the kernel refuses a whole write if one of its lines is wrong.
      for (const line of lines) writeFileSync(join(path, 'schemata'), `${line}\n`);
      return new ResctrlGroup(path);
    } catch (cause) {
      const status = textIfThere(join(root, 'info/last_cmd_status')).trim();
      throw new NemoError(
        'SYSCALL',
        `resctrl refused ${path}: ${(cause as Error).message} ${status}`.trim(),
        { cause },
      );
    }
  }

  /** Members go back to the root group. Idempotent. */
  remove(): void {
    try {
      rmdirSync(this.path);
    } catch {
      // It is gone, or the next start takes it over.
    }
  }
}

/**
 * Lines to write into a new group, from those of the root group, for example "L3:0=7ff;1=7ff" and "MB:0=100;1=100". Pure.
 * Throws UNSUPPORTED if the hardware lacks what is asked for.
 */
export function schemataFor(rootSchemata: string, limits: ResctrlLimits, minWays: number): string[] {
  const lines = rootSchemata.split('\n').map((line) => line.trim());
  const limited = (kind: RegExp, what: string, limit: (value: string) => string): string[] => {
    const found = lines.filter((line) => kind.test(line));
    if (found.length === 0) throw new NemoError('UNSUPPORTED', `this processor cannot limit ${what}`);
    return found.map((line) => line.replace(/=(\w+)/g, (_, value: string) => `=${limit(value)}`));
  };
  const { cacheShare, bandwidthShare } = limits;
  return [
    ...(cacheShare === undefined
      ? []
      : limited(/^L3(CODE|DATA)?:/, 'cache', (mask) => lowWays(mask, cacheShare, minWays))),
    ...(bandwidthShare === undefined
      ? []
      : // The kernel rounds up to its step: per cent on Intel, eighths of GB/s on AMD.
        limited(/^MB:/, 'memory bandwidth', (all) =>
          String(Math.max(1, Math.round(Number(all) * bandwidthShare))),
        )),
  ];
}

/** The lowest ways of a mask, in one run, as the hardware wants it; the highest are often shared with devices. */
function lowWays(mask: string, share: number, minWays: number): string {
  const ways = BigInt(`0x${mask}`).toString(2).length;
  const count = Math.min(ways, Math.max(minWays, Math.round(ways * share)));
  return ((1n << BigInt(count)) - 1n).toString(16);
}
