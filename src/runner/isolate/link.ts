/**
 * The way to the agent of a thread whose function shares its isolate. Node's socket does the work, but it is an event
 * emitter and a stream, and the function has the classes of both: so what comes is read without events, and once it is
 * connected the socket inherits nothing that a function could change (lockdown.ts).
 */

import { Buffer } from 'node:buffer';
import { connect, type Socket } from 'node:net';
import type { Link } from '../link.js';
import { closeChain, privatize } from './lockdown.js';

/** Of a piece of memory that reads fill one after another; what is left below the second is not read into. */
const READ_BYTES = 64 * 1024;
const READ_MIN_BYTES = 16 * 1024;
/** Bytes of the function's, sent from where they lie, could be freed by it before they have left. */
const COPIED_ABOVE_BYTES = 16 * 1024;

const allocate = Buffer.allocUnsafeSlow;
const viewOf = Buffer.from as (buffer: ArrayBufferLike, at: number, length: number) => Buffer;
const copyOf = Buffer.from as (bytes: Uint8Array) => Buffer;
const define = Object.defineProperty;

export interface ThreadLink extends Link {
  unsentBytes(): number;
}

/** `exit` if there is no agent, or none any more. */
export function linkTo(path: string, exit: () => void, connected: (link: ThreadLink) => void): void {
  let slab = allocate(READ_BYTES);
  let at = 0;
  let onBytes: (bytes: Buffer) => void = exit;
  let onEnd: () => void = exit;
  const socket = connect({
    path,
    onread: {
      buffer() {
        if (READ_BYTES - at < READ_MIN_BYTES) {
          slab = allocate(READ_BYTES);
          at = 0;
        }
        return viewOf(slab.buffer, slab.byteOffset + at, READ_BYTES - at);
      },
      callback(count) {
        const bytes = viewOf(slab.buffer, slab.byteOffset + at, count);
        at += count;
        onBytes(bytes);
        return true;
      },
    },
  });
  const write = socket.write.bind(socket) as Link['write'];
  let draining: Promise<void> | undefined;
  let drain = (): void => {};
  socket.once('error', exit);
  // Not in the event itself: node begins to read behind it.
  socket.once('connect', () => setImmediate(ready));

  function ready(): void {
    socket.removeListener('error', exit);
    detach(
      socket,
      () => onEnd(),
      () => drain(),
    );
    connected({
      write: (bytes, sent) => write(bytes.byteLength > COPIED_ABOVE_BYTES ? copyOf(bytes) : bytes, sent),
      drained() {
        if (!socket.writableNeedDrain) return undefined;
        draining ??= new Promise((resolve) => {
          drain = () => {
            draining = undefined;
            resolve();
          };
        });
        return draining;
      },
      unsentBytes: () => socket.writableLength,
      receive(bytes, end) {
        onBytes = bytes;
        onEnd = end;
      },
    });
  }
}

/** Of all that a socket can tell, two things; and no method of its class is found by name any more. */
function detach(socket: Socket, onEnd: () => void, onDrain: () => void): void {
  const inside = socket as unknown as { _readableState: object; _writableState: object; _handle: object };
  for (const one of [inside._readableState, inside._writableState, socket]) privatize(one);
  closeChain(inside._handle);
  const own = {
    emit(name: string): boolean {
      if (name === 'drain') onDrain();
      return true;
    },
    // How node tells of an end, and of an error.
    push(): boolean {
      onEnd();
      return false;
    },
    destroy(): Socket {
      onEnd();
      return socket;
    },
    read: () => null,
  };
  for (const [name, value] of Object.entries(own)) define(socket, name, { value });
}
