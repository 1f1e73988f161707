/**
 * Which agent of this box guards which NF and which NF core: each belongs to one at a time. Two would take each other's
 * scheduling for the NF's own, and the last to leave would "put back" what the other had set.
 *
 * A claim holds while its agent's guard file is locked, that is until the agent AND its guardian are gone: then the NF has
 * its own scheduling again, and the next agent finds it so. `firm` claims are of those that harvest the NF's cores; a loose
 * one, of an agent that only watches, is given up when somebody asks.
 */

import { renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { isLocked, oneAtATime } from '../linux/file-lock.js';
import { readIfThere } from '../linux/if-there.js';
import { AGENTS_FOLDER } from './agent-lock.js';

interface Holder {
  agent: string;
  /** Path of its guard file. */
  guard: string;
}

interface Claim extends Holder {
  firm: boolean;
  /** Who harvests, and asks for it. */
  wantedBy?: Holder;
}

type Table = Record<string, Claim>;

export interface ClaimsState {
  /** What was asked for and others hold: key -> agent. */
  taken: ReadonlyMap<string, string>;
  /** Loose claims of ours that an agent asks for: put everything back, then `yield` it. */
  asked: readonly string[];
  /** NF cores of others. */
  cores: ReadonlyMap<number, string>;
}

export const nfKey = ({ pid, startTicks }: { pid: number; startTicks: number }): string =>
  `nf:${pid}:${startTicks}`;
export const coreKey = (core: number): string => `core:${core}`;

export class Claims {
  private readonly file: string;

  constructor(
    private readonly me: Holder,
    private readonly folder = AGENTS_FOLDER,
  ) {
    this.file = join(folder, 'claims.json');
  }

  /** From now on this agent wants these, each firmly or not, and nothing else. */
  update(wanted: ReadonlyMap<string, boolean>): ClaimsState {
    return this.change((table) => {
      const taken = new Map<string, string>();
      const asked: string[] = [];
      for (const [key, claim] of Object.entries(table)) {
        if (this.isMine(claim) && !wanted.has(key)) delete table[key];
      }
      for (const [key, firm] of wanted) {
        const claim = table[key];
        if (claim !== undefined && !this.isMine(claim)) {
          taken.set(key, claim.agent);
          if (firm && !claim.firm) claim.wantedBy ??= this.me;
        } else if (claim?.wantedBy !== undefined && !firm) {
          asked.push(key);
        } else table[key] = { ...this.me, firm };
      }
      const cores = new Map<number, string>();
      for (const [key, claim] of Object.entries(table)) {
        if (key.startsWith('core:') && !this.isMine(claim)) cores.set(Number(key.slice(5)), claim.agent);
      }
      return { taken, asked, cores };
    });
  }

  /** Hands a claim to whoever asked for it: nobody else can come in between. */
  yield(key: string): void {
    this.change((table) => {
      const next = table[key]?.wantedBy;
      if (next !== undefined && this.isMine(table[key]!)) table[key] = { ...next, firm: true };
    });
  }

  close(): void {
    this.update(new Map());
  }

  private isMine(claim: Holder): boolean {
    return claim.guard === this.me.guard;
  }

  private change<T>(action: (table: Table) => T): T {
    return oneAtATime(this.folder, () => {
      const text = readIfThere(this.file, 'utf8') ?? '{}';
      const table = this.holding(parse(text));
      const result = action(table);
      const now = JSON.stringify(table);
      if (now !== text) {
        // Nobody but root can enter the folder, and nobody else of root is here now.
        writeFileSync(`${this.file}.new`, now, { mode: 0o600 });
        renameSync(`${this.file}.new`, this.file);
      }
      return result;
    });
  }

  /** Without the claims of those that are gone; an earlier agent of this name has left its NFs to this one. */
  private holding(table: Table): Table {
    const alive = new Map<string, boolean>([[this.me.guard, true]]);
    const isAlive = ({ guard, agent }: Holder): boolean => {
      if (guard !== this.me.guard && agent === this.me.agent) return false;
      if (!alive.has(guard)) alive.set(guard, isLocked(guard));
      return alive.get(guard)!;
    };
    const holding: Table = {};
    for (const [key, { wantedBy, ...claim }] of Object.entries(table)) {
      if (!isAlive(claim)) continue;
      holding[key] = wantedBy !== undefined && isAlive(wantedBy) ? { ...claim, wantedBy } : claim;
    }
    return holding;
  }
}

function parse(text: string): Table {
  try {
    return JSON.parse(text) as Table;
  } catch {
    return {};
  }
}
