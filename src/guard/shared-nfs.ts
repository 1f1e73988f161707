/**
 * Which NFs of the box this agent guards, and which other agents do: an NF, and a core of one, belongs to one agent at a
 * time. Claims are between agents and the NF comes first: an agent that cannot read or write them goes on guarding what
 * it guards.
 */

import { asNemoError } from '../model/errors.js';
import type { NfProtection } from '../nf/protection.js';
import { type Claims, coreKey, nfKey } from './claims.js';
import type { ManagedNf } from './managed-nf.js';

export interface SharedNfsOptions {
  /** Which NFs and cores this agent has, of all agents of the box. */
  claims: Claims;
  functionCores: readonly number[];
  protection: NfProtection | undefined;
  /** Another agent guarded it and has left it: it is ours now. */
  onReceived: (managed: ManagedNf) => void;
  onWarning: (message: string) => void;
}

export class SharedNfs {
  private warned = false;
  /** Cores that other agents have, and for whom. */
  coresOfOthers: ReadonlyMap<number, string> = new Map();

  constructor(private readonly options: SharedNfsOptions) {}

  /** Claims these NFs and no others; sets `guardedBy` of each. True if what this agent or others have changed. */
  update(all: readonly ManagedNf[]): boolean {
    const { claims, onReceived, onWarning } = this.options;
    const state = this.attempt(() => claims.update(this.wanted(all)));
    if (state === undefined) return false;
    const { taken, asked, cores } = state;
    let changed = String([...cores]) !== String([...this.coresOfOthers]);
    this.coresOfOthers = cores;
    for (const managed of all) {
      const { nf, guardedBy } = managed;
      managed.guardedBy = taken.get(nfKey(nf));
      if (asked.includes(nfKey(nf))) this.yield(managed);
      if (managed.guardedBy === guardedBy) continue;
      changed = true;
      if (managed.guardedBy === undefined) onReceived(managed);
      else if (guardedBy === undefined) onWarning(`${nf.id} is left to the agent ${managed.guardedBy}`);
    }
    return changed;
  }

  close(): void {
    this.attempt(() => this.options.claims.close());
  }

  /** Claims; true: firmly, false: until another agent asks for it. */
  private wanted(all: readonly ManagedNf[]): Map<string, boolean> {
    const wanted = new Map<string, boolean>();
    for (const { nf } of all) {
      const harvestable = nf.cores.filter((core) => this.options.functionCores.includes(core));
      wanted.set(nfKey(nf), harvestable.length > 0 || nf.cores.length === 0);
      for (const core of harvestable) wanted.set(coreKey(core), true);
    }
    return wanted;
  }

  /** First its own scheduling, then the claim: the agent that comes next must find it as it was. */
  private yield(managed: ManagedNf): void {
    const { claims, protection } = this.options;
    protection?.release(managed.nf.id);
    managed.protection = 'none';
    this.attempt(() => claims.yield(nfKey(managed.nf)));
    managed.guardedBy = 'that harvests its core';
  }

  private attempt<T>(ask: () => T): T | undefined {
    try {
      const answer = ask();
      this.warned = false;
      return answer;
    } catch (thrown) {
      const { message } = asNemoError(thrown);
      if (!this.warned)
        this.options.onWarning(`other agents of this box cannot be told of its NFs: ${message}`);
      this.warned = true;
      return undefined;
    }
  }
}
