/**
 * A kernel file (procfs, cgroupfs) kept open and read again and again into one buffer. Nothing is allocated on the
 * read path: numbers are parsed by hand from the bytes. A file whose object is gone reads as GONE, it never throws:
 * threads and groups die while somebody looks at them.
 */

import { closeSync, openSync } from 'node:fs';
import { constants } from 'node:os';
import { NemoError } from '../model/errors.js';
import { errno, fail, pread, pwrite } from './libc.js';

const { ENOENT, ENODEV, ESRCH, EOPNOTSUPP } = constants.errno;
const NEWLINE = 10;
const ZERO = 48;
const NINE = 57;

/** `read` and `write` answer this once the thread, process or group behind the file is gone. */
export const GONE = -1;

export class KeptFile {
  readonly path: string;
  readonly bytes: Buffer;
  /** Where `nextNumber` goes on; `read` sets it to 0. */
  at = 0;
  private length = 0;
  private fd: number;

  /** `mode` is that of open(2). A missing file makes a KeptFile that is GONE; any other failure throws SYSCALL. */
  constructor(path: string, mode: 'r' | 'r+', capacityBytes: number) {
    this.path = path;
    this.bytes = Buffer.alloc(capacityBytes);
    this.fd = openOrGone(path, mode);
  }

  get gone(): boolean {
    return this.fd < 0;
  }

  /**
   * Bytes read from the start of the file (at most the capacity, or `most`), or GONE. Throws SYSCALL on any other error.
   * The kernel makes no more of such a file than is asked for.
   */
  read(most: number = this.bytes.length): number {
    if (this.fd < 0) return GONE;
    const count = pread(this.fd, this.bytes, Math.min(most, this.bytes.length), 0);
    if (count < 0) return this.failed('pread');
    this.length = count;
    this.at = 0;
    return count;
  }

  /** Writes `text` in one call, which is what kernel files want. Returns its length, or GONE. Throws SYSCALL. */
  write(text: string): number {
    if (this.fd < 0) return GONE;
    const length = this.bytes.write(text, 0, 'latin1');
    if (pwrite(this.fd, this.bytes, length, 0) < 0) return this.failed('pwrite');
    return length;
  }

  /** The next run of digits as a number, or NaN at the end of the bytes read. A dot ends a number. */
  nextNumber(): number {
    const { bytes, length } = this;
    let at = this.at;
    while (at < length && (bytes[at]! < ZERO || bytes[at]! > NINE)) at++;
    if (at >= length) {
      this.at = at;
      return Number.NaN;
    }
    let value = 0;
    while (at < length && bytes[at]! >= ZERO && bytes[at]! <= NINE) value = value * 10 + bytes[at++]! - ZERO;
    this.at = at;
    return value;
  }

  /** The next run of hexadecimal digits as a number, or NaN at the end of the bytes read. */
  nextHex(): number {
    const { bytes, length } = this;
    let at = this.at;
    while (at < length && hexDigit(bytes[at]!) < 0) at++;
    if (at >= length) {
      this.at = at;
      return Number.NaN;
    }
    let value = 0;
    for (let digit = hexDigit(bytes[at]!); digit >= 0; digit = at < length ? hexDigit(bytes[at]!) : -1) {
      value = value * 16 + digit;
      at++;
    }
    this.at = at;
    return value;
  }

  /** Moves behind the next `byte`; false if none is left. */
  skipTo(byte: number): boolean {
    while (this.at < this.length && this.bytes[this.at] !== byte) this.at++;
    return this.at++ < this.length;
  }

  /** Moves behind the next `text`; false, and nothing moves, if there is none. */
  skipBehind(text: Buffer): boolean {
    const at = this.bytes.indexOf(text, this.at);
    if (at < 0 || at + text.length > this.length) return false;
    this.at = at + text.length;
    return true;
  }

  /** Moves to the start of the next line; false at the end. */
  nextLine(): boolean {
    while (this.at < this.length && this.bytes[this.at] !== NEWLINE) this.at++;
    return ++this.at < this.length;
  }

  close(): void {
    if (this.fd >= 0) closeSync(this.fd);
    this.fd = -1;
  }

  private failed(call: string): number {
    const value = errno();
    if (value !== ENOENT && value !== ENODEV && value !== ESRCH && value !== EOPNOTSUPP)
      fail(call, this.path);
    this.close();
    return GONE;
  }
}

/** -1: none. */
function hexDigit(byte: number): number {
  if (byte >= ZERO && byte <= NINE) return byte - ZERO;
  const letter = byte | 0x20;
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x61 + 10 : -1;
}

function openOrGone(path: string, mode: 'r' | 'r+'): number {
  try {
    return openSync(path, mode);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT' || code === 'ENODEV' || code === 'ESRCH') return GONE;
    throw new NemoError('SYSCALL', `open failed on ${path}: ${code}`, {
      details: { syscall: 'open', errno: code, object: path },
      cause: thrown,
    });
  }
}
