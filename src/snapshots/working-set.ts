/**
 * The pages of a snapshot that a start needs (Ustiugov et al., ASPLOS'21): seen once in a machine that has just
 * answered, then read ahead in one go whenever a machine is about to map the file from a disk.
 */

import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { open } from 'node:fs/promises';

/** Pages, in order: first and count. */
export type WorkingSet = ReadonlyArray<readonly [number, number]>;

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** In the last byte of an entry of pagemap: present, swapped. */
const THERE = 0xc0;
/** What lies between two pages is read too if it is no longer than this: one read costs less than two. */
const GAP_PAGES = 16;
const CHUNK_BYTES = 1024 * 1024;

/** The pages of the file with that inode which one of these processes has touched; undefined if none maps it. */
export function touchedPages(pids: readonly number[], inode: number): WorkingSet | undefined {
  for (const pid of pids) {
    const mapping = mappingOf(pid, inode);
    if (mapping !== undefined) return pagesOf(pid, ...mapping);
  }
  return undefined;
}

/** Start and length in bytes of the longest mapping. */
function mappingOf(pid: number, inode: number): [number, number] | undefined {
  let longest: [number, number] | undefined;
  for (const line of readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')) {
    const [range = '', , , , of] = line.split(' ');
    if (Number(of) !== inode) continue;
    const [from = 0, to = 0] = range.split('-').map((address) => Number.parseInt(address, 16));
    if (to - from > (longest?.[1] ?? 0)) longest = [from, to - from];
  }
  return longest;
}

function pagesOf(pid: number, start: number, bytes: number): WorkingSet {
  const entries = Buffer.alloc((bytes / PAGE_BYTES) * ENTRY_BYTES);
  const fd = openSync(`/proc/${pid}/pagemap`, 'r');
  try {
    readSync(fd, entries, 0, entries.length, (start / PAGE_BYTES) * ENTRY_BYTES);
  } finally {
    closeSync(fd);
  }
  const ranges: Array<[number, number]> = [];
  for (let page = 0; page * ENTRY_BYTES < entries.length; page++) {
    if ((entries[page * ENTRY_BYTES + 7]! & THERE) === 0) continue;
    const last = ranges.at(-1);
    if (last !== undefined && page - (last[0] + last[1]) < GAP_PAGES) last[1] = page - last[0] + 1;
    else ranges.push([page, 1]);
  }
  return ranges;
}

export function bytesOf(pages: WorkingSet): number {
  return pages.reduce((sum, [, count]) => sum + count * PAGE_BYTES, 0);
}

/** Reads them into the kernel's cache, in order. */
export async function readAhead(path: string, pages: WorkingSet): Promise<void> {
  const file = await open(path, 'r');
  try {
    const chunk = Buffer.alloc(CHUNK_BYTES);
    for (const [first, count] of pages) {
      const end = (first + count) * PAGE_BYTES;
      for (let at = first * PAGE_BYTES; at < end; at += CHUNK_BYTES)
        await file.read(chunk, 0, Math.min(CHUNK_BYTES, end - at), at);
    }
  } finally {
    await file.close();
  }
}
