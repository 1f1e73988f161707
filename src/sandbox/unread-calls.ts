/**
 * Finds a sandbox that answers calls which it has not read. What it does not read stays in the memory of this process, and
 * whoever counts the bodies of calls counts none that has its answer.
 */

import type { Socket } from 'node:net';
import { takenBytes } from '../linux/pipe-pair.js';
import { FrameError } from '../runner/frames.js';

export class UnreadCalls {
  constructor(private readonly socket: Socket) {}

  /** A call was answered whose frame ends `sentBytes` after the first of all. Throws FrameError. */
  answered(sentBytes: number): void {
    if (this.socket.writableLength > 0 && sentBytes > takenBytes(this.socket))
      throw new FrameError('it answers calls that it does not read');
  }
}
