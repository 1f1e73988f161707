/**
 * Bytes of the bodies that the gateway holds for all of its clients together. Each client may have as much as it leaves
 * free (dynamic thresholds: Choudhury and Hahne, IEEE/ACM ToN 1998): one alone has half of the room, and never all of it.
 */

import type { Socket } from 'node:net';
import { Budget } from './budget.js';
import type { Callers } from './callers.js';

export class Bodies {
  private readonly budget: Budget;

  constructor(
    maxBytes: number,
    private readonly callers: Callers,
  ) {
    this.budget = new Budget(maxBytes);
  }

  /** For a request of that connection. False, and nothing is taken, if it would be too much. */
  take(socket: Socket, bytes: number): boolean {
    const { client } = this.callers.of(socket);
    const freeBytes = this.budget.maxBytes - this.budget.bytes - bytes;
    if (client.bodyBytes + bytes > freeBytes) return false;
    client.bodyBytes += bytes;
    return this.budget.take(bytes);
  }

  give(socket: Socket, bytes: number): void {
    this.callers.of(socket).client.bodyBytes -= bytes;
    this.budget.give(bytes);
  }
}
