/**
 * WASI preview 1 for one call: a body to read, an answer to write, clocks, random numbers, environment. No file, no
 * directory, no socket: whatever asks for one is told that it is not there. Our own and not node:wasi, whose
 * standard streams have to be real files, one set a call.
 */

import { Buffer } from 'node:buffer';
import { randomFillSync } from 'node:crypto';
import { BODY_MAX_BYTES } from '../frames.js';
import type { Memory } from './api.js';

export const WASI_MODULE = 'wasi_snapshot_preview1';

const ERRNO = { success: 0, badf: 8, inval: 28, nosys: 52, spipe: 70 } as const;
const CLOCK = { realtime: 0, monotonic: 1 } as const;
const CHARACTER_DEVICE = 2;
/** Functions of preview 1 that are there and say that they cannot: of files, directories and sockets. */
const REFUSED = [
  'fd_advise',
  'fd_allocate',
  'fd_datasync',
  'fd_fdstat_set_rights',
  'fd_filestat_set_size',
  'fd_filestat_set_times',
  'fd_pread',
  'fd_prestat_dir_name',
  'fd_prestat_get',
  'fd_pwrite',
  'fd_readdir',
  'fd_renumber',
  'fd_sync',
  'fd_tell',
  'path_create_directory',
  'path_filestat_get',
  'path_filestat_set_times',
  'path_link',
  'path_open',
  'path_readlink',
  'path_remove_directory',
  'path_rename',
  'path_symlink',
  'path_unlink_file',
  'poll_oneoff',
  'proc_raise',
  'sock_accept',
  'sock_recv',
  'sock_send',
  'sock_shutdown',
] as const;
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
  'fd_seek',
  'fd_write',
  'proc_exit',
  'random_get',
  'sched_yield',
] as const;

export const WASI_FUNCTIONS: readonly string[] = [...OFFERED, ...REFUSED];

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

  constructor(private readonly onError: (text: string) => void) {
    this.imports = this.makeImports();
  }

  /** `environment`: `name=value` each; as a function it is made when it is first asked for. */
  begin(memory: Memory, input: Buffer, environment: () => readonly Uint8Array[]): void {
    this.memory = memory;
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
    if (fd !== 0) return ERRNO.badf;
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
    if (fd !== 1 && fd !== 2) return ERRNO.badf;
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

  private makeImports(): Record<string, (...args: never[]) => unknown> {
    const standard = (fd: number): boolean => fd >= 0 && fd <= 2;
    const offered: Record<(typeof OFFERED)[number], (...args: never[]) => unknown> = {
      args_get: () => ERRNO.success,
      args_sizes_get: (count: number, size: number) => this.sizes([], count, size),
      environ_get: (pointers: number, text: number) => this.strings(this.variables(), pointers, text),
      environ_sizes_get: (count: number, size: number) => this.sizes(this.variables(), count, size),
      clock_res_get: (_clock: number, at: number) => {
        this.view().setBigUint64(at, 1_000n, true);
        return ERRNO.success;
      },
      clock_time_get: (clock: number, _precision: bigint, at: number) => {
        const ms =
          clock === CLOCK.realtime ? Date.now() : clock === CLOCK.monotonic ? performance.now() : undefined;
        if (ms === undefined) return ERRNO.inval;
        this.view().setBigUint64(at, BigInt(Math.round(ms * 1e6)), true);
        return ERRNO.success;
      },
      fd_close: (fd: number) => (standard(fd) ? ERRNO.success : ERRNO.badf),
      fd_fdstat_get: (fd: number, at: number) => {
        if (!standard(fd)) return ERRNO.badf;
        new Uint8Array(this.memory.buffer, at, 24).fill(0)[0] = CHARACTER_DEVICE;
        return ERRNO.success;
      },
      fd_fdstat_set_flags: (fd: number) => (standard(fd) ? ERRNO.success : ERRNO.badf),
      fd_filestat_get: (fd: number, at: number) => {
        if (!standard(fd)) return ERRNO.badf;
        new Uint8Array(this.memory.buffer, at, 64).fill(0)[16] = CHARACTER_DEVICE;
        return ERRNO.success;
      },
      fd_read: (fd: number, vectors: number, count: number, done: number) =>
        this.read(fd, vectors, count, done),
      fd_seek: () => ERRNO.spipe,
      fd_write: (fd: number, vectors: number, count: number, done: number) =>
        this.write(fd, vectors, count, done),
      proc_exit: (code: number) => {
        throw new Exit(code);
      },
      random_get: (at: number, length: number) => {
        randomFillSync(new Uint8Array(this.memory.buffer, at, length));
        return ERRNO.success;
      },
      sched_yield: () => ERRNO.success,
    };
    return Object.assign(offered, REFUSALS);
  }
}

/** A preopened directory ends with `badf`; all else is not there. */
const REFUSALS = Object.fromEntries(
  REFUSED.map((name) => [name, () => (name.startsWith('fd_') ? ERRNO.badf : ERRNO.nosys)]),
);
