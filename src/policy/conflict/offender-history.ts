/**
 * Which functions were to blame for conflicts lately, for placement and for their owners. Unlike what the loop remembers
 * of a sandbox, it is of the function: it outlives sandboxes, and the next one is not trusted more. Pure: the time is given.
 */

import type { OffenceRecord } from '../../model/feed.js';
import { CONFLICT } from '../../tunables/index.js';

/** What placement has to know of a function. */
export interface Offences {
  /** Grows by 1 with each blame, halves every CONFLICT.blameHalfLifeMs. */
  penalty: number;
  /** On these cores it starts no call now. */
  away: ReadonlySet<number>;
}

interface Entry extends OffenceRecord {
  atMs: number;
  toldMs: number;
  /** Until when it keeps away from a core. */
  away: Map<number, number>;
}

export const NO_OFFENCES: Offences = { penalty: 0, away: new Set() };

export class OffenderHistory {
  private readonly entries = new Map<string, Entry>();

  /**
   * `awayMs`: how long it shall not start calls on that core; 0: it ran alone there and may come back. Returns true if its
   * owner has not been told for a while: conflicts come many a second.
   */
  blame(functionKey: string, core: number, awayMs: number, cause: string, nowMs: number): boolean {
    let entry = this.entries.get(functionKey);
    if (entry === undefined) {
      entry = { times: 0, penalty: 0, cause, atMs: nowMs, toldMs: Number.NEGATIVE_INFINITY, away: new Map() };
      this.entries.set(functionKey, entry);
    }
    entry.penalty = penaltyOf(entry, nowMs) + 1;
    entry.atMs = nowMs;
    entry.times++;
    entry.cause = cause;
    if (awayMs > 0) entry.away.set(core, nowMs + awayMs);
    const tell = nowMs - entry.toldMs > CONFLICT.blameHalfLifeMs;
    if (tell) entry.toldMs = nowMs;
    return tell;
  }

  /** Cheap while nobody is to blame: asked for each call. */
  of(functionKey: string, nowMs: number): Offences {
    if (this.entries.size === 0) return NO_OFFENCES;
    const entry = this.entries.get(functionKey);
    if (entry === undefined) return NO_OFFENCES;
    for (const [core, untilMs] of entry.away) if (untilMs <= nowMs) entry.away.delete(core);
    const penalty = penaltyOf(entry, nowMs);
    if (penalty < CONFLICT.blameLeast && entry.away.size === 0) return NO_OFFENCES;
    return { penalty, away: new Set(entry.away.keys()) };
  }

  /** For the owner; undefined: it never was to blame. */
  record(functionKey: string, nowMs: number): OffenceRecord | undefined {
    const entry = this.entries.get(functionKey);
    if (entry === undefined) return undefined;
    return { times: entry.times, penalty: penaltyOf(entry, nowMs), cause: entry.cause };
  }

  /** It was removed: one of its name that comes later is another. */
  forget(functionKey: string): void {
    this.entries.delete(functionKey);
  }
}

function penaltyOf({ penalty, atMs }: Entry, nowMs: number): number {
  return penalty * 2 ** (-(nowMs - atMs) / CONFLICT.blameHalfLifeMs);
}
