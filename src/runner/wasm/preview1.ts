/**
 * WASI preview 1 for one call: a body to read, an answer to write, clocks and sleep, random numbers, environment. No file,
 * no directory, no socket: whatever asks for one is told that it is not there (refusals.ts). Our own and not node:wasi,
 * whose standard streams have to be real files, one set a call.
 */

import { Buffer } from 'node:buffer';
import { randomFillSync } from 'node:crypto';
import { BODY_MAX_BYTES } from '../frames.js';
import type { Memory } from './api.js';
import { ERRNO } from './errno.js';
import { clockMs, pollOneoff } from './poll.js';
import { ON_STREAMS, refusals } from './refusals.js';

export const WASI_MODULE = 'wasi_snapshot_preview1';

/** As preview 1 numbers them. */
const UNKNOWN_FILETYPE = 0;
const RIGHTS = { read: 1n << 1n, write: 1n << 6n, stat: 1n << 21n, poll: 1n << 27n } as const;
const CLOCK_STEP_NS = 1_000n;
const OFFERED = [
  'args_get',
  'args_sizes_get',
  'environ_get',
  'environ_sizes_get',
  'clock_res_get',
  'clock_time_get',
  'fd_close',
  'fd_fdstat_get',
  'fd_fdstat_set_flags',
  'fd_filestat_get',
  'fd_read',
  'fd_write',
  'poll_oneoff',
  'proc_exit',
  'proc_raise',
  'random_get',
  'sched_yield',
] as const;

export const WASI_FUNCTIONS: readonly string[] = [...OFFERED, ...Object.keys(ON_STREAMS)];

/** Thrown through the module by proc_exit. */
export class Exit extends Error {
  constructor(readonly code: number) {
    super(`exit code ${code}`);
  }
}

const NOTHING = Buffer.alloc(0);

/**
 * The imports, and what the module wrote. One object serves call after call, since no two run at the same time;
 * `begin` is what keeps a call's streams from those of the call before it.
 */
export class Preview1 {
  readonly imports: Record<string, (...args: never[]) => unknown>;
  output!: Uint8Array[];
  private memory!: Memory;
  private input: Buffer = NOTHING;
  private inputAt = 0;
  private outputBytes!: number;
  private environment: (() => readonly Uint8Array[]) | readonly Uint8Array[] = [];
  /** The first argument: by custom, a program's name. */
  private name = '';
  /** Standard streams that the module closed, one bit each. */
  private closed = 0;

  constructor(private readonly onError: (text: string) => void) {
    this.imports = this.makeImports();
  }

  /** `environment`: `name=value` each; as a function it is made when it is first asked for. */
  begin(memory: Memory, input: Buffer, name: string, environment: () => readonly Uint8Array[]): void {
    this.memory = memory;
    this.name = name;
    this.closed = 0;
    this.input = input;
    this.inputAt = 0;
    this.environment = environment;
    this.output = [];
    this.outputBytes = 0;
  }

  private variables(): readonly Uint8Array[] {
    if (typeof this.environment === 'function') this.environment = this.environment();
    return this.environment;
  }

  private view(): DataView {
    return new DataView(this.memory.buffer);
  }

  private strings(list: readonly Uint8Array[], pointers: number, text: number): number {
    const view = this.view();
    const bytes = new Uint8Array(this.memory.buffer);
    let at = text;
    for (const [i, one] of list.entries()) {
      view.setUint32(pointers + 4 * i, at, true);
      bytes.set(one, at);
      bytes[at + one.length] = 0;
      at += one.length + 1;
    }
    return ERRNO.success;
  }

  private sizes(list: readonly Uint8Array[], count: number, size: number): number {
    const view = this.view();
    view.setUint32(count, list.length, true);
    view.setUint32(
      size,
      list.reduce((sum, one) => sum + one.length + 1, 0),
      true,
    );
    return ERRNO.success;
  }

  /** Calls `each` with the parts of an array of { u32 pointer, u32 length } until it says that it is done. */
  private vectors(at: number, count: number, each: (part: Uint8Array) => boolean): void {
    const view = this.view();
    for (let i = 0; i < count; i++) {
      const pointer = view.getUint32(at + 8 * i, true);
      const length = view.getUint32(at + 8 * i + 4, true);
      if (!each(new Uint8Array(this.memory.buffer, pointer, length))) return;
    }
  }

  private read(fd: number, vectors: number, count: number, done: number): number {
    if (fd !== 0 || !this.isOpen(0)) return ERRNO.badf;
    const { input } = this;
    const from = this.inputAt;
    this.vectors(vectors, count, (part) => {
      const taken = input.subarray(this.inputAt, this.inputAt + part.length);
      part.set(taken);
      this.inputAt += taken.length;
      return taken.length === part.length;
    });
    this.view().setUint32(done, this.inputAt - from, true);
    return ERRNO.success;
  }

  private write(fd: number, vectors: number, count: number, done: number): number {
    if ((fd !== 1 && fd !== 2) || !this.isOpen(fd)) return ERRNO.badf;
    let written = 0;
    this.vectors(vectors, count, (part) => {
      written += part.length;
      if (fd === 1) {
        this.outputBytes += part.length;
        // More could not be sent, and is not the module's own memory.
        if (this.outputBytes > BODY_MAX_BYTES) throw new RangeError('the answer is larger than 8 MB');
        this.output.push(part.slice());
      } else this.onError(Buffer.from(part).toString());
      return true;
    });
    this.view().setUint32(done, written, true);
    return ERRNO.success;
  }

  private isOpen(fd: number): boolean {
    return fd >= 0 && fd <= 2 && (this.closed & (1 << fd)) === 0;
  }

  private close(fd: number): number {
    if (!this.isOpen(fd)) return ERRNO.badf;
    this.closed |= 1 << fd;
    return ERRNO.success;
  }

  /** No terminal: a program that asks would colour its answer. */
  private describe(fd: number, at: number): number {
    if (!this.isOpen(fd)) return ERRNO.badf;
    const view = this.view();
    new Uint8Array(this.memory.buffer, at, 24).fill(0)[0] = UNKNOWN_FILETYPE;
    view.setBigUint64(at + 8, (fd === 0 ? RIGHTS.read : RIGHTS.write) | RIGHTS.stat | RIGHTS.poll, true);
    return ERRNO.success;
  }

  private poll(from: number, to: number, count: number, told: number): number {
    return pollOneoff(
      this.view(),
      { from: from >>> 0, to: to >>> 0, count: count >>> 0, told: told >>> 0 },
      {
        readable: (fd) => (fd === 0 && this.isOpen(0) ? this.input.length - this.inputAt : undefined),
        writable: (fd) =>
          (fd === 1 || fd === 2) && this.isOpen(fd)
            ? Math.max(1, BODY_MAX_BYTES - this.outputBytes)
            : undefined,
      },
    );
  }

  private makeImports(): Record<string, (...args: never[]) => unknown> {
    const isOpen = (fd: number): boolean => this.isOpen(fd);
    const own = (): readonly Uint8Array[] => [Buffer.from(this.name)];
    const offered: Record<(typeof OFFERED)[number], (...args: never[]) => unknown> = {
      args_get: (pointers: number, text: number) => this.strings(own(), pointers, text),
      args_sizes_get: (count: number, size: number) => this.sizes(own(), count, size),
      environ_get: (pointers: number, text: number) => this.strings(this.variables(), pointers, text),
      environ_sizes_get: (count: number, size: number) => this.sizes(this.variables(), count, size),
      clock_res_get: (clock: number, at: number) => {
        if (clockMs(clock) === undefined) return ERRNO.inval;
        this.view().setBigUint64(at, CLOCK_STEP_NS, true);
        return ERRNO.success;
      },
      clock_time_get: (clock: number, _precision: bigint, at: number) => {
        const ms = clockMs(clock);
        if (ms === undefined) return ERRNO.inval;
        this.view().setBigUint64(at, BigInt(Math.round(ms * 1e6)), true);
        return ERRNO.success;
      },
      fd_close: (fd: number) => this.close(fd),
      fd_fdstat_get: (fd: number, at: number) => this.describe(fd, at),
      fd_fdstat_set_flags: (fd: number) => (isOpen(fd) ? ERRNO.success : ERRNO.badf),
      fd_filestat_get: (fd: number, at: number) => {
        if (!isOpen(fd)) return ERRNO.badf;
        new Uint8Array(this.memory.buffer, at, 64).fill(0)[16] = UNKNOWN_FILETYPE;
        return ERRNO.success;
      },
      fd_read: (fd: number, vectors: number, count: number, done: number) =>
        this.read(fd, vectors, count, done),
      fd_write: (fd: number, vectors: number, count: number, done: number) =>
        this.write(fd, vectors, count, done),
      poll_oneoff: (from: number, to: number, count: number, told: number) =>
        this.poll(from, to, count, told),
      proc_exit: (code: number) => {
        throw new Exit(code);
      },
      proc_raise: () => ERRNO.nosys,
      random_get: (at: number, length: number) => {
        randomFillSync(new Uint8Array(this.memory.buffer, at, length));
        return ERRNO.success;
      },
      sched_yield: () => ERRNO.success,
    };
    return Object.assign(offered, refusals(isOpen));
  }
}
