/**
 * Calls of one function that wait for a sandbox, first come first. One whose caller leaves is taken out at once: what
 * it held is free, and its place is skipped later, so that no departure costs a walk along the queue.
 */

import { DISPATCH } from '../tunables.js';
import type { CallRequest } from './function.js';
import type { PendingCall } from './worker.js';

/** What the calls that wait for any function hold. */
export interface QueuedBytes {
  bytes: number;
}

const NO_BODY = Buffer.alloc(0);
/** In place of one that is not here any more. */
const NOBODY = { request: undefined as unknown as CallRequest, waits: false } as PendingCall;

export class WaitingCalls {
  private queue: PendingCall[] = [];
  private head = 0;
  /** Calls from `head` on that were taken out. */
  private dropped = 0;
  /** Bodies of the calls that wait here. */
  bytes = 0;

  constructor(private readonly all: QueuedBytes) {}

  get count(): number {
    return this.queue.length - this.head - this.dropped;
  }

  push(call: PendingCall): void {
    this.joined(call);
    this.queue.push(call);
  }

  /** Back to the front: a call that was sent ahead and never started. */
  unshift(call: PendingCall): void {
    this.joined(call);
    if (this.head > 0) this.queue[--this.head] = call;
    else this.queue.unshift(call);
  }

  peek(): PendingCall | undefined {
    this.skip();
    return this.queue[this.head];
  }

  shift(): PendingCall | undefined {
    this.skip();
    const call = this.queue[this.head];
    if (call === undefined) return undefined;
    this.parted(call);
    this.queue[this.head] = NOBODY;
    this.head++;
    this.shrink();
    return call;
  }

  /** Takes one out that waits. */
  drop(call: PendingCall): void {
    this.parted(call);
    call.request = { ...call.request, body: NO_BODY };
    this.dropped++;
    // Amortised constant: those that were taken out go once they are the larger part.
    if (this.dropped < 64 || this.dropped * 2 < this.queue.length - this.head) return;
    this.queue = this.queue.slice(this.head).filter((one) => one.waits);
    this.head = 0;
    this.dropped = 0;
  }

  private joined(call: PendingCall): void {
    call.waits = true;
    this.bytes += call.request.body.length;
    this.all.bytes += call.request.body.length + DISPATCH.waitingCallBytes;
  }

  private parted(call: PendingCall): void {
    call.waits = false;
    this.bytes -= call.request.body.length;
    this.all.bytes -= call.request.body.length + DISPATCH.waitingCallBytes;
  }

  private skip(): void {
    while (this.dropped > 0 && this.head < this.queue.length && !this.queue[this.head]!.waits) {
      this.queue[this.head] = NOBODY;
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
