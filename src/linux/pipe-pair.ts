/**
 * A way to a program and back over two pipes, used as one socket. A UNIX socket would do, but whoever holds its other end
 * can send open files through it, which the kernel then closes on the reader's time: one TCP socket that lingers holds
 * the reader's thread for years. As with such a socket, an error ECONNRESET tells that the program left something unread.
 */

import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { check, fcntl, ioctl, pipe2 } from './libc.js';

const O_CLOEXEC = 0o2000000;
const F_SETPIPE_SZ = 1031;
const FIONREAD = 0x541b;
const PIPE_BYTES = 256 * 1024;

export interface Pipe {
  read: number;
  write: number;
}

export function makePipe(what: string): Pipe {
  const fds = new Int32Array(2);
  check(pipe2(fds, O_CLOEXEC), 'pipe2', what);
  const [read, write] = fds as unknown as [number, number];
  // As much as a socket takes before its writer has to wait. More is refused where pipes are short.
  fcntl(write, F_SETPIPE_SZ, PIPE_BYTES);
  return { read, write };
}

export function readerOf(fd: number): Socket {
  return new Socket({ fd, readable: true, writable: false });
}

function writerOf(fd: number): Socket {
  return new Socket({ fd, readable: false, writable: true });
}

/** Reads `fromProgram.read`, writes `toProgram.write`, and closes both in the end. */
export function pipePair(fromProgram: Pipe, toProgram: Pipe): Socket {
  const reader = readerOf(fromProgram.read);
  const writer = writerOf(toProgram.write);
  // What the program has still said is read all the same.
  writer.on('error', (error) => reader.emit('error', error));
  reader.once('end', () => {
    if (!writer.destroyed && unreadBytes(toProgram.write) > 0)
      reader.emit('error', Object.assign(new Error('not all was read'), { code: 'ECONNRESET' }));
  });
  reader.once('close', () => writer.destroy());
  Object.defineProperty(reader, 'writableLength', { get: () => writer.writableLength });
  writers.set(reader, writer);
  return Object.assign(reader, { write: writer.write.bind(writer) });
}

/** Of such a pair, its way to the program. */
const writers = new WeakMap<Socket, Socket>();

/** What node knows of a socket itself: not in its documentation, and in every version of it. */
interface Handle {
  bytesWritten: number;
  /** Of these, what the kernel has not taken. */
  writeQueueSize: number;
}

/**
 * How many bytes that were written to a pair, or to a socket, the kernel has taken; infinity once it is closed. Node's
 * `writableLength` counts all chunks that are written together until the last of them is taken.
 */
export function takenBytes(socket: Socket): number {
  const { _handle } = (writers.get(socket) ?? socket) as unknown as { _handle: Handle | null };
  return _handle ? _handle.bytesWritten - _handle.writeQueueSize : Number.POSITIVE_INFINITY;
}

function unreadBytes(fd: number): number {
  const count = Buffer.alloc(4);
  return ioctl(fd, FIONREAD, count) < 0 ? 0 : count.readInt32LE();
}

export function closePipe({ read, write }: Pipe): void {
  closeSync(read);
  closeSync(write);
}
