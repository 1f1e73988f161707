/**
 * Moves bytes between the sockets of connections, for one function at a pace: one that moves as much as it can would keep
 * the relay's thread, and the core below it, from all others.
 */

import type { Socket } from 'node:net';
import { Pace } from '../streams/pace.js';
import { EGRESS } from '../tunables/index.js';

export class RelayFlow {
  private readonly sources = new Set<Socket>();
  /** What they write to has no room. */
  private readonly blocked = new Set<Socket>();
  private held = false;
  private readonly pace: Pace;

  constructor(bytesPerSecond: number = EGRESS.bytesPerSecond) {
    const hold = () => {
      this.held = true;
      for (const source of this.sources) source.pause();
    };
    const release = () => {
      this.held = false;
      for (const source of this.sources) this.resume(source);
    };
    this.pace = new Pace({ hold, release }, bytesPerSecond);
  }

  /** Both ways, until one of them ends. */
  join(one: Socket, other: Socket): void {
    this.pump(one, other);
    this.pump(other, one);
  }

  /** Nothing is held back any more. */
  stop(): void {
    this.pace.stop();
  }

  private pump(from: Socket, to: Socket): void {
    this.sources.add(from);
    from.once('close', () => {
      this.sources.delete(from);
      this.blocked.delete(from);
    });
    from.on('data', (chunk: Buffer) => {
      if (!to.write(chunk)) {
        this.blocked.add(from);
        from.pause();
      }
      this.pace.spend(Math.max(chunk.length, EGRESS.readLeastBytes));
    });
    from.once('end', () => to.end());
    to.on('drain', () => {
      this.blocked.delete(from);
      this.resume(from);
    });
    this.resume(from);
  }

  private resume(source: Socket): void {
    if (this.held || this.blocked.has(source)) source.pause();
    else source.resume();
  }
}
