/** The way to the agent, as a runner needs it: bytes out, bytes in, its end. */

import type { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';

export interface Link {
  /** False: the agent reads too slowly. `sent` is called when the bytes have left. */
  write(bytes: Uint8Array, sent?: () => void): boolean;
  /** Resolves when it takes more; undefined if it does now. */
  drained(): Promise<void> | undefined;
  /** Called once, before anything comes. */
  receive(onBytes: (bytes: Buffer) => void, onEnd: () => void): void;
}

/** Of a runner that has its process to itself; `to`: where what comes and what goes are two. */
export function socketLink(from: Socket, to = from): Link {
  const once = to.once.bind(to);
  let draining: Promise<void> | undefined;
  return {
    write: to.write.bind(to) as Link['write'],
    drained() {
      if (!to.writableNeedDrain) return undefined;
      draining ??= new Promise((resolve) => {
        once('drain', () => {
          draining = undefined;
          resolve();
        });
      });
      return draining;
    },
    receive(onBytes, onEnd) {
      from.on('data', onBytes);
      from.on('close', onEnd);
      from.on('error', onEnd);
      if (to !== from) to.on('error', onEnd);
    },
  };
}
