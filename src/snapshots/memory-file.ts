/**
 * A file's content in memory that nobody can change: an anonymous file (memfd), filled and sealed. Machines map it
 * privately, so that each writes to its own copies. It is gone with its last user: a kill leaves nothing.
 */

import { closeSync, ftruncateSync, writeSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { check, fcntl, memfdCreate, posixFadvise } from '../linux/libc.js';

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
/** Against sealing otherwise, shrinking, growing and writing. */
const SEALS = 0xf;
const POSIX_FADV_DONTNEED = 4;
const CHUNK_BYTES = 1024 * 1024;

/** Descriptor of a sealed copy of `path`; the caller closes it. */
export async function loadIntoMemory(path: string, name: string): Promise<number> {
  const fd = check(memfdCreate(name, MFD_CLOEXEC | MFD_ALLOW_SEALING), 'memfd_create', name);
  try {
    await copyWithHoles(path, fd);
    check(fcntl(fd, F_ADD_SEALS, SEALS), 'fcntl(F_ADD_SEALS)', name);
    return fd;
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

/** Fills an empty file with the content of `path`. Zeros take no room. */
export async function copyWithHoles(path: string, fd: number): Promise<void> {
  const source = await open(path, 'r');
  try {
    const { size } = await source.stat();
    ftruncateSync(fd, size);
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const zeros = Buffer.alloc(CHUNK_BYTES);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await source.read(chunk, 0, CHUNK_BYTES, at);
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      const read = chunk.subarray(0, bytesRead);
      // A disk that runs full takes a part without an error: only the next write fails.
      for (let done = read.equals(zeros.subarray(0, bytesRead)) ? bytesRead : 0; done < bytesRead; )
        done += writeSync(fd, read, done, bytesRead - done, at + done);
      at += bytesRead;
    }
    // Otherwise the kernel would keep it in memory twice.
    posixFadvise(source.fd, 0, 0, POSIX_FADV_DONTNEED);
  } finally {
    await source.close();
  }
}
