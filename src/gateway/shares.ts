/**
 * What the gateway has for all of its clients together: bytes of bodies, places for readers. Each client may have as much
 * as it leaves free (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 1998): one alone has half, and never all of it.
 */

import type { Socket } from 'node:net';
import { Budget } from './budget.js';
import type { Callers, Held } from './callers.js';

export class Shares {
  private readonly budget: Budget;

  /** `what`: where a client's part is counted. */
  constructor(
    private readonly what: keyof Held,
    max: number,
    private readonly callers: Callers,
  ) {
    this.budget = new Budget(max);
  }

  /** For the client of that connection. False, and nothing is taken, if it would be too much. */
  take(socket: Socket, amount: number): boolean {
    const { client } = this.callers.of(socket);
    const free = this.budget.maxBytes - this.budget.bytes - amount;
    if (client[this.what] + amount > free) return false;
    client[this.what] += amount;
    return this.budget.take(amount);
  }

  give(socket: Socket, amount: number): void {
    const { client } = this.callers.of(socket);
    client[this.what] -= amount;
    this.budget.give(amount);
    if (client.connections === 0) this.callers.forget(client);
  }
}
