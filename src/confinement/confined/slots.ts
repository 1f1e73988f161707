/**
 * Bounds how many run at a time and how many wait; beyond that a caller is told to come back. Of those that wait, one goes
 * next whose client has the fewest running, so that nobody waits for all that another has sent; who has left does not wait.
 */

import type { Asker } from '../../model/asker.js';
import { NemoError } from '../../model/errors.js';

interface Waiting {
  client: string;
  go(): void;
}

export class Slots {
  /** By client. */
  private readonly running = new Map<string, number>();
  private readonly waiting: Waiting[] = [];

  constructor(
    private readonly max: number,
    private readonly waitingMax: number,
    /** Plural, for the refusal. */
    private readonly what: string,
  ) {}

  /** Without `asker` it is the agent's own. Throws OVERLOADED, or CALLER_LEFT while it waits. */
  async hold<T>(work: () => Promise<T>, asker?: Asker): Promise<T> {
    const client = asker?.client ?? '';
    const all = [...this.running.values()].reduce((sum, count) => sum + count, 0);
    if (all < this.max) this.count(client, 1);
    else await this.wait(client, asker?.left);
    try {
      return await work();
    } finally {
      this.count(client, -1);
      this.next();
    }
  }

  private wait(client: string, left?: AbortSignal): Promise<void> {
    const own = this.waiting.filter((one) => one.client === client).length;
    if (this.waiting.length >= this.waitingMax || (client !== '' && own >= this.waitingMax / 2))
      throw new NemoError('OVERLOADED', `too many ${this.what} wait already`, { hint: 'try again later' });
    return new Promise((resolve, reject) => {
      const leave = (): void => {
        this.waiting.splice(this.waiting.indexOf(one), 1);
        reject(new NemoError('CALLER_LEFT', 'the caller has left'));
      };
      const one = {
        client,
        go: () => {
          left?.removeEventListener('abort', leave);
          resolve();
        },
      };
      this.waiting.push(one);
      if (left?.aborted) leave();
      else left?.addEventListener('abort', leave);
    });
  }

  /** Counted before it goes on, so that nobody comes between. */
  private next(): void {
    const of = ({ client }: Waiting): number => this.running.get(client) ?? 0;
    const fewest = Math.min(...this.waiting.map(of));
    const chosen = this.waiting.find((one) => of(one) === fewest);
    if (chosen === undefined) return;
    this.waiting.splice(this.waiting.indexOf(chosen), 1);
    this.count(chosen.client, 1);
    chosen.go();
  }

  private count(client: string, change: 1 | -1): void {
    const count = (this.running.get(client) ?? 0) + change;
    if (count === 0) this.running.delete(client);
    else this.running.set(client, count);
  }
}
