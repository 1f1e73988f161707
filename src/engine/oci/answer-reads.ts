/**
 * What comes from a container, counted where its bytes are read: a parser reports neither endless chunk extensions nor
 * other framing. Framing beyond what content has earned ends the sandbox. The order of reads tells whether a connection
 * that was closed had been silent since a call was sent on it.
 */

import type { Socket } from 'node:net';
import { type Endings, guarded } from '../../sandbox/guarded.js';
import { OCI } from '../../tunables/index.js';

export class AnswerReads {
  /** Bytes that may still come without being content. */
  private framingBytes: number = OCI.framingMaxBytes;
  /** How often something came, on any connection. */
  count = 0;
  /** Which of those was the last on the connection that closed last; 0: nothing came on it. */
  private lastOfClosed = 0;

  constructor(private readonly endings: Endings) {}

  watch(socket: Socket): void {
    let before = socket.bytesRead;
    let last = 0;
    // Before the client reports it to the call that was on it.
    socket.on('close', () => {
      this.lastOfClosed = last;
    });
    socket.on(
      'readable',
      guarded(this.endings, () => {
        if (socket.bytesRead > before) last = ++this.count;
        this.framingBytes -= socket.bytesRead - before;
        before = socket.bytesRead;
        if (this.framingBytes >= 0) return;
        socket.destroy();
        this.endings.onViolation('it answered with far more framing than content');
      }),
    );
  }

  allow(bytes: number): void {
    this.framingBytes = Math.min(this.framingBytes + bytes, OCI.framingMaxBytes);
  }

  /** The connection that closed last had carried another call, and nothing came on it since `count` was `before`. */
  closedInSilence(before: number): boolean {
    return this.lastOfClosed > 0 && this.lastOfClosed <= before;
  }
}
