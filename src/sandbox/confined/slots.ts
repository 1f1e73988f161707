/** Bounds how many run at a time and how many wait; beyond that a caller is told to come back. */

import { NemoError } from '../../errors.js';

export class Slots {
  private running = 0;
  private readonly waiting: Array<() => void> = [];

  constructor(
    private readonly max: number,
    private readonly waitingMax: number,
    /** Plural, for the refusal. */
    private readonly what: string,
  ) {}

  /** Throws OVERLOADED. */
  async hold<T>(work: () => Promise<T>): Promise<T> {
    if (this.running < this.max) this.running++;
    else {
      if (this.waiting.length >= this.waitingMax)
        throw new NemoError('OVERLOADED', `too many ${this.what} wait already`, { hint: 'try again later' });
      // Whoever ends hands its slot on.
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      if (next === undefined) this.running--;
      else next();
    }
  }
}
