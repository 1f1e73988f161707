/** An archive of an image, looked at and decompressed by confined programs: the agent parses no tar. */

import { createWriteStream, openSync, unlinkSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { ended, runConfined, spawnConfined } from '../confinement/confined/child.js';
import { type ConfinedPlace, confinedCommand } from '../confinement/confined/command.js';
import { answerOf } from '../confinement/confined/confined.js';
import { diskIsFull } from '../host/storage-quota.js';
import { OCI } from '../tunables/index.js';
import { type Complaints, complaintOf, limited, listenTo } from './complaint.js';
import { badImage, storageFull } from './faults.js';
import { tooLarge } from './layer.js';
import type { TarEntry } from './tar-index.js';

/** What an import works with. */
export interface ImportTools {
  place: ConfinedPlace;
  /** An empty directory, for what has no other place. */
  scratch: string;
  /** Most that may be written there. */
  scratchMaxBytes: number;
}

/** Where the files of a plain tar lie. `fd`: of a regular file. Throws BAD_FUNCTION. */
export async function indexArchive(fd: number, { place }: ImportTools): Promise<TarEntry[]> {
  const outcome = await runConfined(
    confinedCommand(place, { program: 'index', cpuMaxSeconds: OCI.importCpuMaxSeconds }),
    {
      input: fd,
      outputMaxBytes: OCI.archiveEntriesMax * 1_024,
      timeoutMs: OCI.fetchTimeoutMs,
    },
  );
  const output = answerOf(outcome, (why) =>
    badImage(`the archive of the image cannot be read: ${why}`, 'use `docker save -o`'),
  );
  return parseIndex(output);
}

/** Pure. */
export function parseIndex(output: Buffer): TarEntry[] {
  const entries = asJson(output);
  const fits = (entry: unknown): entry is TarEntry =>
    Array.isArray(entry) &&
    entry.length === 3 &&
    typeof entry[0] === 'string' &&
    isOffset(entry[1]) &&
    isOffset(entry[2]);
  if (Array.isArray(entries) && entries.length <= OCI.archiveEntriesMax && entries.every(fits))
    return entries;
  throw badImage('the archive of the image cannot be read');
}

function asJson(output: Buffer): unknown {
  try {
    return JSON.parse(output.toString()) as unknown;
  } catch {
    return undefined;
  }
}

function isOffset(value: unknown): boolean {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** A descriptor of what a compressed archive holds; its file has no name any more. */
export async function inflateArchive(
  fd: number,
  format: 'gzip' | 'zstd',
  { place, scratch, scratchMaxBytes }: ImportTools,
): Promise<number> {
  const file = join(scratch, 'archive.tar');
  const out = openSync(file, 'wx+', 0o600);
  unlinkSync(file);
  const [program, ...args] = confinedCommand(place, {
    ...{ program: 'inflate', args: [format], cpuMaxSeconds: OCI.importCpuMaxSeconds },
  });
  const child = spawnConfined(program!, args, [fd, 'pipe']);
  const complaints: Complaints = listenTo(child);
  let full = false;
  const watch = setInterval(() => {
    full ||= diskIsFull(scratch);
    if (full) child.kill('SIGKILL');
  }, OCI.diskLookMs);
  const written = pipeline(
    child.stdout!,
    limited(scratchMaxBytes, () => tooLarge()),
    createWriteStream('', { fd: out, autoClose: false }),
  ).then(
    () => undefined,
    (error: NodeJS.ErrnoException) => {
      child.kill('SIGKILL');
      return error;
    },
  );
  const code = await ended(child).finally(() => clearInterval(watch));
  const error = await written;
  if (full || error?.code === 'ENOSPC') throw storageFull('an image cannot be stored: the disk is full');
  if (error !== undefined) throw error;
  if (code !== 0)
    throw badImage(`the archive of the image cannot be unpacked: ${complaintOf(complaints, code)}`);
  return out;
}
