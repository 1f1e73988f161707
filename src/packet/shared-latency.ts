/**
 * How an NF process reports its packet latency: one small file in shared memory, /dev/shm/nemo-nf-<pid>.latency,
 * which the NF maps and counts up, and which the agent reads. The reader never touches a mapping of it: a mapped file
 * that its owner shortens kills the reader by SIGBUS; a `pread` of 2 KB costs 1 us and merely comes back short.
 *
 *   0 magic u32 | 4 version u32 | 8 pid u32 | 12 buckets u32
 *   16 received f64 | 24 forwarded f64 | 32 dropped f64 | 40 errors f64 | 48 missed f64
 *   56 the two words of a doorbell, i32 and u32; the second is written by the agent: see packet/doorbell
 *   64 BUCKET_COUNT x u32, the counters of LatencyBuckets. Host byte order; all counters only ever go up.
 *   then, if the NF tells it, BUCKET_COUNT x f64: when the last packet of each bucket was received, Unix nanoseconds.
 */

import { randomUUID } from 'node:crypto';
import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  opendirSync,
  openSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import { type WordAddress, wordAddress } from '../linux/futex.js';
import { mapShared, mapUnread, pread, pwrite } from '../linux/libc.js';
import { isStorageFull, NemoError } from '../model/errors.js';
import { BUCKET_COUNT, LatencyBuckets } from '../model/latency-buckets.js';
import { NF_RUNTIME } from '../tunables/index.js';
import { BELL_WORDS, BellWord, bellLimit, Doorbell } from './doorbell.js';

const DIRECTORY = '/dev/shm';
const FILE_NAME = /^nemo-nf-(\d+)\.latency(\.[0-9a-f-]{36})?$/;
/** "NMLT" in memory order on a little-endian machine. */
const MAGIC = 0x544c4d4e;
const VERSION = 1;
const COUNTER_OFFSET = 16;
const BELL_OFFSET = 56;
const BUCKETS_OFFSET = 64;
const ARRIVALS_OFFSET = BUCKETS_OFFSET + 4 * BUCKET_COUNT;
const ARRIVALS_BYTES = 8 * BUCKET_COUNT;
export const SHARED_LATENCY_BYTES = ARRIVALS_OFFSET + ARRIVALS_BYTES;

/** Places in `counters`: packets since the NF started. `missed`: its receive rings had no room. */
export const PacketCounter = { received: 0, forwarded: 1, dropped: 2, errors: 3, missed: 4 } as const;
const COUNTERS = 5;

export function sharedLatencyPath(pid: number): string {
  return `${DIRECTORY}/nemo-nf-${pid}.latency`;
}

/**
 * Removes the files of processes that are no more (an NF that was killed cannot remove its own). Any user may make as many as
 * he likes, and an NF that starts has no time for them: only so many are looked at.
 */
export function sweepSharedLatency(): void {
  const directory = opendirSync(DIRECTORY);
  try {
    for (let looks = 0; looks < NF_RUNTIME.reportsLookedAt; looks++) {
      const entry = directory.readSync();
      if (entry === null) return;
      const pid = Number(FILE_NAME.exec(entry.name)?.[1] ?? 0);
      if (pid > 0 && !isAlive(pid)) removeReport(`${DIRECTORY}/${entry.name}`);
    }
  } finally {
    directory.closeSync();
  }
}

function removeReport(path: string): void {
  try {
    rmSync(path, { force: true });
  } catch {
    // Anybody may make a folder of that name there; it is not ours.
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code !== 'ESRCH';
  }
}

/** The NF's side. `buckets` and `counters` lie in the shared memory itself: writing them is reporting. */
export class SharedLatencyWriter {
  readonly path: string;
  readonly buckets: LatencyBuckets;
  /** Indexed by PacketCounter. */
  readonly counters: Float64Array;
  readonly doorbell: Doorbell;
  private readonly end: () => void;

  private constructor(path: string, buffer: ArrayBuffer, end: () => void) {
    this.path = path;
    const arrivals = new Float64Array(buffer, ARRIVALS_OFFSET, BUCKET_COUNT);
    this.buckets = new LatencyBuckets(new Uint32Array(buffer, BUCKETS_OFFSET, BUCKET_COUNT), arrivals);
    this.counters = new Float64Array(buffer, COUNTER_OFFSET, COUNTERS);
    this.doorbell = new Doorbell(new Int32Array(buffer, BELL_OFFSET, BELL_WORDS));
    this.end = end;
  }

  /**
   * Creates this process's file (mode 0600), in place of one left by an earlier process of that pid. Any user may fill
   * /dev/shm, or keep making something else of that name: then nobody hears of its packets (`onUnreported` gets why), and
   * they pass as ever.
   */
  static create(
    pid: number = process.pid,
    onUnreported: (why: string) => void = () => {},
  ): SharedLatencyWriter {
    const path = sharedLatencyPath(pid);
    try {
      return SharedLatencyWriter.inFile(path, pid);
    } catch (thrown) {
      onUnreported(isStorageFull(thrown) ? `${DIRECTORY} is full` : (thrown as Error).message);
      return new SharedLatencyWriter(path, new ArrayBuffer(SHARED_LATENCY_BYTES), () => {});
    }
  }

  private static inFile(path: string, pid: number): SharedLatencyWriter {
    sweepSharedLatency();
    const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants;
    // Made complete under another name, then renamed: a reader sees a whole file or none. Anybody may make files there, so
    // nobody can foresee this name, and a folder that takes the place of the report is put out of the way.
    const unfinished = `${path}.${randomUUID()}`;
    if (lstatSync(path, { throwIfNoEntry: false })?.isDirectory())
      renameSync(path, `${DIRECTORY}/not-a-report-${randomUUID()}`);
    const fd = openSync(unfinished, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600);
    try {
      // Every page is there from now on: touching one for which there is no room later would end the NF (SIGBUS).
      const zeros = Buffer.alloc(SHARED_LATENCY_BYTES);
      for (let at = 0; at < zeros.length; ) at += writeSync(fd, zeros, at);
      const { buffer, unmap } = mapShared(fd, SHARED_LATENCY_BYTES, unfinished);
      new Uint32Array(buffer, 0, 4).set([MAGIC, VERSION, pid, BUCKET_COUNT]);
      renameSync(unfinished, path);
      return new SharedLatencyWriter(path, buffer, () => {
        rmSync(path, { force: true });
        unmap();
      });
    } catch (thrown) {
      rmSync(unfinished, { force: true });
      throw thrown;
    } finally {
      closeSync(fd);
    }
  }

  /** Removes the file. `buckets` and `counters` must not be touched afterwards. */
  close(): void {
    this.end();
  }
}

/** The agent's side. It trusts the file only as far as it can check it. */
export class SharedLatencyReader {
  readonly path: string;
  /** What the last `read` found; both are views of one buffer that every `read` fills anew. */
  readonly counts: Uint32Array;
  readonly counters: Float64Array;
  /** Where the kernel finds the counter of the NF's doorbell; undefined: it has none. */
  readonly bellAddress: WordAddress | undefined;
  private readonly pid: number;
  private readonly bytes = new Uint8Array(ARRIVALS_OFFSET);
  private readonly header = new Uint32Array(this.bytes.buffer, 0, 4);
  private readonly bell = new Int32Array(this.bytes.buffer, BELL_OFFSET, BELL_WORDS);
  private readonly limit = new Uint32Array(1);
  private readonly limitBytes = new Uint8Array(this.limit.buffer);
  private readonly arrivalBytes = new Uint8Array(ARRIVALS_BYTES);
  private readonly arrivalTimes = new Float64Array(this.arrivalBytes.buffer);
  private readonly unmap: (() => void) | undefined;
  private fd: number;

  /**
   * `uid`: the NF's user, whose file is believed beside root's. Throws NOT_FOUND if there is no file (yet), BAD_REQUEST if it
   * is not one that this process may believe.
   */
  constructor(pid: number, uid = 0) {
    this.pid = pid;
    this.path = sharedLatencyPath(pid);
    this.counts = new Uint32Array(this.bytes.buffer, BUCKETS_OFFSET, BUCKET_COUNT);
    this.counters = new Float64Array(this.bytes.buffer, COUNTER_OFFSET, COUNTERS);
    this.fd = openTrusted(this.path, uid);
    const problem = this.read();
    if (problem !== undefined) {
      this.close();
      throw new NemoError('BAD_REQUEST', `${this.path} is not a latency report: ${problem}`);
    }
    const mapping = this.rings === 0 ? undefined : mapUnread(this.fd, BUCKETS_OFFSET);
    this.unmap = mapping?.unmap;
    if (mapping !== undefined) {
      const [low, high] = wordAddress(mapping.pointer);
      // A page begins at a multiple of 4,096: the low half does not overflow.
      this.bellAddress = [low + BELL_OFFSET + 4 * BellWord.rings, high];
    }
  }

  /** The doorbell's counter when `read` was last called; 0: there is none. */
  get rings(): number {
    return this.bell[BellWord.rings]!;
  }

  /** True if the NF rings for packets above that limit, as far as the last `read` knows. Asks it to if nobody has. */
  askToRing(sloNs: number): boolean {
    if (this.bellAddress === undefined || this.fd < 0) return false;
    const wanted = bellLimit(sloNs);
    const limit = this.bell[BellWord.limitNs]! >>> 0;
    // Another agent may ask for less.
    if (limit === 0) this.writeLimit(wanted);
    return limit !== 0 && limit <= wanted;
  }

  /** Fills `counts` and `counters`. Returns undefined, or in words why the file cannot be believed any more. */
  read(): string | undefined {
    const { header, bytes } = this;
    if (pread(this.fd, bytes, ARRIVALS_OFFSET, 0) !== ARRIVALS_OFFSET) return 'it is too short';
    if (header[0] !== MAGIC) return 'it does not begin with the magic number';
    if (header[1] !== VERSION) return `its version is ${header[1]}, this program reads ${VERSION}`;
    if (header[2] !== this.pid) return `it names process ${header[2]}`;
    if (header[3] !== BUCKET_COUNT) return `it has ${header[3]} buckets instead of ${BUCKET_COUNT}`;
    return undefined;
  }

  /** When the last packet of each bucket was received; undefined from an NF that does not tell. */
  arrivals(): Float64Array | undefined {
    const read = this.fd < 0 ? -1 : pread(this.fd, this.arrivalBytes, ARRIVALS_BYTES, ARRIVALS_OFFSET);
    return read === ARRIVALS_BYTES ? this.arrivalTimes : undefined;
  }

  close(): void {
    if (this.fd < 0) return;
    if (this.bellAddress !== undefined) this.writeLimit(0);
    this.unmap?.();
    closeSync(this.fd);
    this.fd = -1;
  }

  private writeLimit(limitNs: number): void {
    this.limit[0] = limitNs;
    pwrite(this.fd, this.limitBytes, 4, BELL_OFFSET + 4 * BellWord.limitNs);
  }
}

/** Opens without following a link and without blocking on a FIFO; takes a regular file that only root or `uid` writes. */
function openTrusted(path: string, uid: number): number {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDWR } = constants;
  let fd: number;
  try {
    fd = openSync(path, O_RDWR | O_NOFOLLOW | O_NONBLOCK);
  } catch (thrown) {
    const code = (thrown as NodeJS.ErrnoException).code ?? '';
    if (code === 'ENOENT') throw new NemoError('NOT_FOUND', `${path} is not there`, { cause: thrown });
    const why = code === 'ELOOP' ? 'it is a symbolic link' : code;
    throw new NemoError('BAD_REQUEST', `${path} cannot be trusted: ${why}`, { cause: thrown });
  }
  const stat = fstatSync(fd);
  const why = !stat.isFile()
    ? 'it is not a regular file'
    : stat.uid !== 0 && stat.uid !== uid
      ? `it belongs to user ${stat.uid}, not to ${uid === 0 ? 'root' : `root or user ${uid}`}`
      : (stat.mode & 0o022) !== 0
        ? 'others than its owner may write it'
        : undefined;
  if (why === undefined) return fd;
  closeSync(fd);
  throw new NemoError('BAD_REQUEST', `${path} cannot be trusted: ${why}`);
}
