/**
 * How fast files of a directory are read: writes one, drops it from the kernel's cache, and reads it. What is in memory
 * anyway (tmpfs) cannot be dropped, and reads as fast as memory. Bounded in bytes and in time.
 */

import { randomFillSync } from 'node:crypto';
import { closeSync } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { check, memfdCreate, posixFadvise } from '../linux/libc.js';
import { SNAPSHOT } from '../tunables/index.js';

const POSIX_FADV_DONTNEED = 4;
const MFD_CLOEXEC = 1;
const CHUNK_BYTES = 1024 * 1024;

/** Bytes a second. `name`: of a file that is made for it and removed. Rejects where it cannot be made. */
export async function readSpeedOf(directory: string, name: string): Promise<number> {
  const path = join(directory, name);
  try {
    return await speedOf(await open(path, 'wx+', 0o600));
  } finally {
    await rm(path, { force: true });
  }
}

/** The same of anonymous memory, for comparison. */
export async function memoryReadSpeed(): Promise<number> {
  const fd = check(memfdCreate('nemo-read-speed', MFD_CLOEXEC), 'memfd_create', 'nemo-read-speed');
  try {
    return await speedOf(await open(`/proc/self/fd/${fd}`, 'r+'));
  } finally {
    closeSync(fd);
  }
}

async function speedOf(file: FileHandle): Promise<number> {
  try {
    const chunk = randomFillSync(Buffer.allocUnsafe(CHUNK_BYTES));
    const { bytes } = await each((at) => file.write(chunk, 0, CHUNK_BYTES, at), SNAPSHOT.probeBytes);
    await file.datasync();
    let best = 0;
    let tookMs = 0;
    for (let reads = 0; reads < SNAPSHOT.probeReads && tookMs < SNAPSHOT.probeMaxMs; reads++) {
      posixFadvise(file.fd, 0, 0, POSIX_FADV_DONTNEED);
      const read = await each((at) => file.read(chunk, 0, CHUNK_BYTES, at), bytes);
      best = Math.max(best, (read.bytes * 1000) / Math.max(read.ms, 0.001));
      tookMs += read.ms;
    }
    return best;
  } finally {
    await file.close();
  }
}

/** Chunk by chunk until all is moved or the time is up. */
async function each(
  move: (at: number) => Promise<unknown>,
  most: number,
): Promise<{ bytes: number; ms: number }> {
  const startMs = performance.now();
  let bytes = 0;
  let ms = 0;
  while (bytes < most && ms < SNAPSHOT.probeMaxMs) {
    await move(bytes);
    bytes += CHUNK_BYTES;
    ms = performance.now() - startMs;
  }
  return { bytes, ms };
}
