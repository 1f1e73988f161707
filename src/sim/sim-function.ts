/** A function and a sandbox of the simulated world: the state that a box keeps in FunctionState and Worker. */

import type { IdleSandbox } from '../sandbox/keepalive/policy.js';
import type { ImportedPackage } from '../sandbox/prewarm/policy.js';
import type { SelectionCandidate } from '../sandbox/selection/policy.js';
import { Usage } from '../sandbox/usage.js';
import { DISPATCH } from '../tunables.js';

const NOBODY = new Usage();

export type SimStart = 'cold' | 'stem' | 'restored' | 'warm';

export class SimSandbox implements IdleSandbox, SelectionCandidate {
  /** Undefined: a stem. */
  fn: SimFunction | undefined;
  usage = NOBODY;
  readonly core = 0;
  readonly load = 0;
  lastUsedMs = 0;
  clockAtUse = 0;
  warmSinceMs = Number.POSITIVE_INFINITY;
  madeMs = 0;
  origin: SimStart = 'warm';
  used = false;
  /** The call that runs, and one sent ahead; -1: none. */
  call = -1;
  ahead = -1;
  /** Holds no turn on a core, or has held it for longer than a quantum. */
  staged = false;
  long = false;

  chargedMs = 0;
  /** Packages that it imported while it was a stem. */
  hashes: readonly string[] = [];

  constructor(readonly memoryBytes: number) {}
}

export class SimFunction {
  readonly usage = new Usage();
  readonly idle: SimSandbox[] = [];
  readonly busySandboxes = new Set<SimSandbox>();
  /** Sandboxes with its code; those that calls wait for; those being made ahead. */
  live = 0;
  starting = 0;
  making = 0;
  busy = 0;
  virtualMs = 0;
  meanMs: number = DISPATCH.meanFirstMs;
  lastUsedMs = 0;
  growNotBeforeMs = 0;
  hasImage = false;
  packages: readonly ImportedPackage[] = [];
  /** Events that are under way for it. */
  expireMs = Number.POSITIVE_INFINITY;
  lookMs = Number.POSITIVE_INFINITY;
  private queue: number[] = [];
  private first = 0;

  get queued(): number {
    return this.queue.length - this.first;
  }

  get head(): number {
    return this.queue[this.first]!;
  }

  /** What loading its packages takes where `stem` has imported some; undefined: it has others too. */
  importMs(stem?: SimSandbox): number | undefined {
    if (stem?.hashes.some((hash) => !this.packages.some((one) => one.hash === hash))) return undefined;
    let ms = 0;
    for (const { hash, loadMs } of this.packages) if (!stem?.hashes.includes(hash)) ms += loadMs;
    return ms;
  }

  push(call: number): void {
    this.queue.push(call);
  }

  shift(): number {
    const call = this.queue[this.first++]!;
    if (this.first === this.queue.length) {
      this.queue.length = 0;
      this.first = 0;
    } else if (this.first > 64 && this.first * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.first);
      this.first = 0;
    }
    return call;
  }

  /** A sandbox that runs, to which a call may be sent ahead. */
  aheadFree(): SimSandbox | undefined {
    for (const sandbox of this.busySandboxes) if (sandbox.ahead < 0 && !sandbox.staged) return sandbox;
    return undefined;
  }
}
