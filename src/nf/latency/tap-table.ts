/**
 * Packets seen at the ingress and awaited at the egress, in fixed memory: sets of eight ways. It prefers to measure
 * nothing over something wrong: a key that is seen twice at the ingress while it is remembered is measured for neither
 * packet, until it has been quiet for the expiry. The caller must show it an ingress packet before the same one at the
 * egress.
 */

const WAYS = 8;
const FREE = 0;
const WAITING = 1;
/** Seen twice: a packet at the egress could be either of them. */
const AMBIGUOUS = 2;
/** Seen at both ends. Remembered, as a second packet with this key could still come out of the NF twice. */
const MATCHED = 3;

export class TapTable {
  /** Packets whose latency was found; those never seen at the egress; those that could not be told apart. */
  matched = 0;
  lost = 0;
  ambiguous = 0;
  /** Seen at the egress only: forgotten already, made by the NF, or duplicated by it. */
  unknown = 0;
  private readonly keyA: Int32Array;
  private readonly keyB: Int32Array;
  private readonly timeNs: Float64Array;
  private readonly state: Uint8Array;
  private readonly setMask: number;

  /** `entries`: a power of two, 8 at least. Times are nanoseconds on one scale. */
  constructor(
    entries: number,
    private readonly expiryNs: number,
  ) {
    this.keyA = new Int32Array(entries);
    this.keyB = new Int32Array(entries);
    this.timeNs = new Float64Array(entries);
    this.state = new Uint8Array(entries);
    this.setMask = entries / WAYS - 1;
  }

  /** A packet entered at `nowNs`. */
  enter(a: number, b: number, nowNs: number): void {
    const first = (a & this.setMask) * WAYS;
    let place = first;
    for (let i = first; i < first + WAYS; i++) {
      this.expire(i, nowNs);
      if (this.state[i] === FREE) {
        if (this.state[place] !== FREE) place = i;
      } else if (this.keyA[i] === a && this.keyB[i] === b) {
        this.enterAgain(i, nowNs);
        return;
      } else if (this.state[place] !== FREE && this.timeNs[i]! < this.timeNs[place]!) place = i;
    }
    if (this.state[place] === WAITING) this.lost++;
    this.keyA[place] = a;
    this.keyB[place] = b;
    this.timeNs[place] = nowNs;
    this.state[place] = WAITING;
  }

  /** A packet left at `nowNs`. Returns its latency in nanoseconds, or -1 if it is not known. */
  leave(a: number, b: number, nowNs: number): number {
    const first = (a & this.setMask) * WAYS;
    for (let i = first; i < first + WAYS; i++) {
      if (this.keyA[i] !== a || this.keyB[i] !== b) continue;
      this.expire(i, nowNs);
      if (this.state[i] !== WAITING) continue;
      const latencyNs = nowNs - this.timeNs[i]!;
      // The clock was set back in between.
      if (latencyNs < 0) return -1;
      this.state[i] = MATCHED;
      this.matched++;
      return latencyNs;
    }
    this.unknown++;
    return -1;
  }

  /** Counts and forgets what was awaited for too long. Without it that happens when the place is needed. */
  sweep(nowNs: number): void {
    for (let i = 0; i < this.state.length; i++) this.expire(i, nowNs);
  }

  private enterAgain(i: number, nowNs: number): void {
    this.timeNs[i] = nowNs;
    // Of two that wait at the same time neither can be measured; after the first has left, the second could be.
    // But a late duplicate of the first would then be taken for it.
    this.ambiguous += this.state[i] === WAITING ? 2 : 1;
    this.state[i] = AMBIGUOUS;
  }

  private expire(i: number, nowNs: number): void {
    const state = this.state[i];
    // Also one of a time to come, for which nobody waits: the clock was set back.
    if (state === FREE || Math.abs(nowNs - this.timeNs[i]!) < this.expiryNs) return;
    if (state === WAITING) this.lost++;
    this.state[i] = FREE;
  }
}
