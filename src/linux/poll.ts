/** poll() on a fixed set of descriptors, whose pollfd array is made once. Blocks the calling thread. */

import { constants } from 'node:os';
import { errno, fail, poll } from './libc.js';

export const POLLIN = 1;
export const POLLERR = 8;

const POLLFD_BYTES = 8;

export class PollSet {
  private readonly bytes: Uint8Array;
  private readonly view: Int16Array;
  private readonly count: number;

  /** Watches each descriptor for `events`; errors and hang-ups are always reported. */
  constructor(descriptors: readonly number[], events: number = POLLIN) {
    this.count = descriptors.length;
    const buffer = new ArrayBuffer(this.count * POLLFD_BYTES);
    this.bytes = new Uint8Array(buffer);
    this.view = new Int16Array(buffer);
    const fds = new Int32Array(buffer);
    descriptors.forEach((descriptor, i) => {
      fds[i * 2] = descriptor;
      this.view[i * 4 + 2] = events;
    });
  }

  /** Number of descriptors with something to report; 0 after `timeoutMs` (-1: none) or a signal. */
  wait(timeoutMs: number): number {
    const ready = poll(this.bytes, this.count, timeoutMs);
    if (ready >= 0) return ready;
    if (errno() !== constants.errno.EINTR) fail('poll', `${this.count} descriptors`);
    for (let i = 0; i < this.count; i++) this.view[i * 4 + 3] = 0;
    return 0;
  }

  /** What `wait` reported for the descriptor of that index: a mask of POLL* bits. */
  reported(index: number): number {
    return this.view[index * 4 + 3]!;
  }
}
