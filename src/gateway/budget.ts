/**
 * Bytes that the gateway holds for all of its clients together: their number is bounded, whatever each one may have.
 */

export class Budget {
  private taken = 0;

  constructor(readonly maxBytes: number) {}

  get bytes(): number {
    return this.taken;
  }

  /** False, and nothing is taken, if it would be too much. */
  take(bytes: number): boolean {
    if (this.taken + bytes > this.maxBytes) return false;
    this.taken += bytes;
    return true;
  }

  give(bytes: number): void {
    this.taken -= bytes;
  }
}
