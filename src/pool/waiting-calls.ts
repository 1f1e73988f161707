/**
 * Calls of one function that wait for a sandbox, first come first. One whose caller leaves is taken out at once: what
 * it held is free, and its place is skipped later, so that no departure costs a walk along the queue.
 */

import type { Call } from '../model/call.js';
import { DISPATCH } from '../tunables/index.js';

/** What the calls that wait for any function hold. */
export interface QueuedBytes {
  bytes: number;
}

const NO_BODY = Buffer.alloc(0);
/** In place of one that is not here any more. */
const NOBODY: Waiting = { request: undefined as unknown as Call, waits: false };

/** What the queue has to know of a call. */
export interface Waiting {
  request: Call;
  /** It is in the queue. */
  waits: boolean;
}

export class WaitingCalls<Call extends Waiting> {
  private queue: Call[] = [];
  private head = 0;
  /** Calls from `head` on that were taken out. */
  private dropped = 0;
  /** Bodies of the calls that wait here. */
  bytes = 0;

  constructor(private readonly all: QueuedBytes) {}

  get count(): number {
    return this.queue.length - this.head - this.dropped;
  }

  push(call: Call): void {
    this.joined(call);
    this.queue.push(call);
  }

  /** Back to the front: a call that was sent ahead and never started. */
  unshift(call: Call): void {
    this.joined(call);
    if (this.head > 0) this.queue[--this.head] = call;
    else this.queue.unshift(call);
  }

  peek(): Call | undefined {
    this.skip();
    return this.queue[this.head];
  }

  shift(): Call | undefined {
    this.skip();
    const call = this.queue[this.head];
    if (call === undefined) return undefined;
    this.parted(call);
    this.queue[this.head] = NOBODY as Call;
    this.head++;
    this.shrink();
    return call;
  }

  /** Takes one out that waits. */
  drop(call: Call): void {
    this.parted(call);
    call.request = { ...call.request, body: NO_BODY };
    this.dropped++;
    // Amortised constant: those that were taken out go once they are the larger part.
    if (this.dropped < 64 || this.dropped * 2 < this.queue.length - this.head) return;
    this.queue = this.queue.slice(this.head).filter((one) => one.waits);
    this.head = 0;
    this.dropped = 0;
  }

  private joined(call: Call): void {
    call.waits = true;
    this.bytes += call.request.body.length;
    this.all.bytes += call.request.body.length + DISPATCH.waitingCallBytes;
  }

  private parted(call: Call): void {
    call.waits = false;
    this.bytes -= call.request.body.length;
    this.all.bytes -= call.request.body.length + DISPATCH.waitingCallBytes;
  }

  private skip(): void {
    while (this.dropped > 0 && this.head < this.queue.length && !this.queue[this.head]!.waits) {
      this.queue[this.head] = NOBODY as Call;
      this.head++;
      this.dropped--;
    }
  }

  private shrink(): void {
    // Amortised constant: the dead front is dropped once it is the larger part.
    if (this.head > 64 && this.head * 2 > this.queue.length) {
      this.queue = this.queue.slice(this.head);
      this.head = 0;
    } else if (this.head === this.queue.length) {
      this.queue.length = 0;
      this.head = 0;
    }
  }
}
