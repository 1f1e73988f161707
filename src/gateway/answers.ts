/**
 * Answers that their callers do not take: what waits for all of them together is bounded, and who takes nothing for
 * a while is cut off, so that nobody can fill the agent's memory by not reading.
 */

import type { ServerResponse } from 'node:http';
import { Budget } from './budget.js';
import type { Caller } from './callers.js';

export interface AnswerLimits {
  /** Unsent to one client: less is not counted, as it is what the kernel is about to take. */
  smallBytes: number;
  allMaxBytes: number;
  /** A client that takes nothing for so long is gone. */
  stallMs: number;
}

export class Answers {
  private readonly budget: Budget;
  private readonly behind = new WeakMap<ServerResponse, number>();

  constructor(private readonly limits: AnswerLimits) {
    this.budget = new Budget(limits.allMaxBytes);
  }

  get bytes(): number {
    return this.budget.bytes;
  }

  /** Call it after each write. Counts what is unsent, and cuts off the client with which it is too much. */
  written(response: ServerResponse, caller: Caller): void {
    const bytes = response.writableLength;
    const counted = this.behind.get(response);
    if (counted === undefined) {
      if (bytes <= this.limits.smallBytes) return;
      this.watch(response, caller);
    }
    if (!this.budget.take(bytes - (counted ?? 0))) response.req.socket.destroy();
    else this.behind.set(response, bytes);
  }

  private watch(response: ServerResponse, caller: Caller): void {
    const socket = response.req.socket;
    this.behind.set(response, 0);
    // Then node's server ends it. Bytes that the kernel takes count as activity, also of a single large write.
    socket.setTimeout(this.limits.stallMs);
    const done = (): void => {
      this.budget.give(this.behind.get(response) ?? 0);
      this.behind.delete(response);
      response.off('drain', done).off('finish', done);
      caller.heard(one);
      if (!response.writableEnded) socket.setTimeout(0);
    };
    // An answer behind another one on its connection hears nothing of the end of that.
    // Written already: who does not take it is cut off, whoever it is.
    const one = { left: done, probe: () => response.writableEnded };
    caller.waitsFor(one);
    response.on('drain', done).on('finish', done);
  }
}
