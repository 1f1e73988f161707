/**
 * The connections that the relay has open, so many for each function and for all of them. Where all places are taken, a
 * connection on which nothing has come for a while gives its place to the next: the longest silent one of the function that
 * has most. This search is rare: it is not done while there is room.
 */

import { EGRESS } from '../tunables/index.js';

/** What all sandboxes of one function have open together. */
export interface Share {
  connections: number;
}

interface Place {
  share: Share;
  /** All that came on it so far, either way. */
  bytes: () => number;
  end: () => void;
  seenBytes: number;
  activeMs: number;
}

export class RelayPlaces {
  private readonly open = new Set<Place>();
  private lookedMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly nowMs: () => number = () => performance.now(),
    private readonly limits: { connectionsPerFunction: number; connectionsMax: number } = EGRESS,
  ) {}

  /** Returns what gives the place back; undefined if none is left. `end` is called if another connection gets the place. */
  take(share: Share, bytes: () => number, end: () => void): (() => void) | undefined {
    const { connectionsPerFunction, connectionsMax } = this.limits;
    if (share.connections >= connectionsPerFunction) return undefined;
    if (this.open.size >= connectionsMax * EGRESS.crowdedRatio) this.look();
    if (this.open.size >= connectionsMax && !this.makeRoom()) return undefined;
    const place: Place = { share, bytes, end, seenBytes: 0, activeMs: this.nowMs() };
    this.open.add(place);
    share.connections++;
    return () => this.leave(place);
  }

  private leave(place: Place): void {
    if (this.open.delete(place)) place.share.connections--;
  }

  private look(): void {
    const nowMs = this.nowMs();
    if (nowMs - this.lookedMs < EGRESS.idleLookMs) return;
    this.lookedMs = nowMs;
    for (const place of this.open) {
      const bytes = place.bytes();
      if (bytes !== place.seenBytes) place.activeMs = nowMs;
      place.seenBytes = bytes;
    }
  }

  private makeRoom(): boolean {
    const latestMs = this.nowMs() - EGRESS.idleMs;
    let idle: Place | undefined;
    for (const place of this.open) {
      if (place.activeMs > latestMs) continue;
      const more = place.share.connections - (idle?.share.connections ?? 0);
      if (idle === undefined || more > 0 || (more === 0 && place.activeMs < idle.activeMs)) idle = place;
    }
    if (idle === undefined) return false;
    this.leave(idle);
    idle.end();
    return true;
  }
}
