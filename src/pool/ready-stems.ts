/** Stems that are ready, and how many are being made ahead, by kind. */

import type { Instance } from './instance.js';

export class ReadyStems {
  readonly list: Instance[] = [];
  /** Being made, by key. */
  private readonly starting = new Map<string, number>();

  /** Ready and starting ones of a kind. */
  count(key: string): number {
    let count = this.starting.get(key) ?? 0;
    for (const { stemKind } of this.list) if (stemKind.key === key) count++;
    return count;
  }

  /** One more is being made while `work` lasts. */
  async during<T>(key: string, work: () => Promise<T>): Promise<T> {
    this.starting.set(key, (this.starting.get(key) ?? 0) + 1);
    try {
      return await work();
    } finally {
      this.starting.set(key, this.starting.get(key)! - 1);
    }
  }

  drop(stem: Instance): void {
    const index = this.list.indexOf(stem);
    if (index >= 0) this.list.splice(index, 1);
  }

  /**
   * Of those that fit and save most, one that is on that core already if there is one; it stays in the list. `saves`: how
   * much of the start it saves, ms; undefined: it does not fit.
   */
  best(preferredCore: number, saves: (stem: Instance) => number | undefined): Instance | undefined {
    let stem: Instance | undefined;
    let most = -1;
    for (const one of this.list) {
      const saved = saves(one) ?? -1;
      if (saved < most || saved < 0 || (saved === most && one.core !== preferredCore)) continue;
      stem = one;
      most = saved;
    }
    return stem;
  }
}
