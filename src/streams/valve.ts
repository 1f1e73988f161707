/** Pauses a stream for several reasons at a time: it flows when none of them is left. */

export interface Pausable {
  pause(): unknown;
  resume(): unknown;
}

export class Valve {
  private reasons = 0;

  constructor(private readonly source: Pausable) {}

  get closed(): boolean {
    return this.reasons > 0;
  }

  /** Each `hold` is undone by one `release`. */
  hold(): void {
    if (this.reasons++ === 0) this.source.pause();
  }

  release(): void {
    if (--this.reasons === 0) this.source.resume();
  }
}
