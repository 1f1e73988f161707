/**
 * The pages of a snapshot that a start needs (Ustiugov et al., ASPLOS'21): seen once in a machine that has just
 * answered, then read ahead in one go whenever a machine is about to map the file from a disk.
 */

import { open, readFile } from 'node:fs/promises';

/** Pages, in order: first and count. */
export type WorkingSet = ReadonlyArray<readonly [number, number]>;

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** In the last byte of an entry of pagemap: present, swapped. */
const THERE = 0xc0;
/** What lies between two pages is read too if it is no longer than this: one read costs less than two. */
const GAP_PAGES = 16;
const CHUNK_BYTES = 1024 * 1024;
/** Of a machine of 128 MiB: other work has its turn between two such looks, however large the machine is. */
const LOOK_PAGES = 32_768;

/** The pages of the file with that inode which one of these processes has touched; undefined if none maps it. */
export async function touchedPages(pids: readonly number[], inode: number): Promise<WorkingSet | undefined> {
  for (const pid of pids) {
    const mapping = await mappingOf(pid, inode);
    if (mapping !== undefined) return pagesOf(pid, ...mapping);
  }
  return undefined;
}

/** Start and length in bytes of the longest mapping. */
async function mappingOf(pid: number, inode: number): Promise<[number, number] | undefined> {
  let longest: [number, number] | undefined;
  for (const line of (await readFile(`/proc/${pid}/maps`, 'utf8')).split('\n')) {
    const [range = '', , , , of] = line.split(' ');
    if (Number(of) !== inode) continue;
    const [from = 0, to = 0] = range.split('-').map((address) => Number.parseInt(address, 16));
    if (to - from > (longest?.[1] ?? 0)) longest = [from, to - from];
  }
  return longest;
}

/** Undefined if the process ends meanwhile. */
async function pagesOf(pid: number, start: number, bytes: number): Promise<WorkingSet | undefined> {
  const pages = bytes / PAGE_BYTES;
  const entries = Buffer.alloc(LOOK_PAGES * ENTRY_BYTES);
  const ranges: Array<[number, number]> = [];
  const pagemap = await open(`/proc/${pid}/pagemap`, 'r');
  try {
    for (let first = 0; first < pages; first += LOOK_PAGES) {
      const length = Math.min(LOOK_PAGES, pages - first) * ENTRY_BYTES;
      const { bytesRead } = await pagemap.read(
        entries,
        0,
        length,
        (start / PAGE_BYTES + first) * ENTRY_BYTES,
      );
      if (bytesRead < length) return undefined;
      for (let at = 0; at < length; at += ENTRY_BYTES)
        if ((entries[at + ENTRY_BYTES - 1]! & THERE) !== 0) addPage(ranges, first + at / ENTRY_BYTES);
    }
  } finally {
    await pagemap.close();
  }
  return ranges;
}

function addPage(ranges: Array<[number, number]>, page: number): void {
  const last = ranges.at(-1);
  if (last !== undefined && page - (last[0] + last[1]) < GAP_PAGES) last[1] = page - last[0] + 1;
  else ranges.push([page, 1]);
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
