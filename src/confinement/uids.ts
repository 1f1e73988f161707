/**
 * The users of an engine's live sandboxes: no two have the same, so neither could signal or trace the other even without
 * namespaces.
 */

import { NemoError } from '../model/errors.js';

export class UidRange {
  private next = 0;

  constructor(
    private readonly first: number,
    private readonly count: number,
  ) {}

  /** One that is not in `live`, the longest unused first. Throws NO_CAPACITY if all are. */
  take(sandboxId: string, live: { has(uid: number): boolean }): number {
    for (let tries = 0; tries < this.count; tries++) {
      const uid = this.first + (this.next++ % this.count);
      if (!live.has(uid)) return uid;
    }
    throw new NemoError('NO_CAPACITY', `sandbox ${sandboxId} is not started: ${this.count} are running`);
  }
}
