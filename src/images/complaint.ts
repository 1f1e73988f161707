/** What is heard of a confined program that works on a stream, and how much may pass through. */

import { Transform } from 'node:stream';
import { CPU_TIME_UP } from '../confinement/confined/child.js';
import { COMPLAINT } from '../confinement/confined/protocol.js';
import type { ChildProcess } from '../linux/spawn.js';

export interface Complaints {
  text: string;
}

const TEXT_MAX = 2_000;

export function listenTo(child: ChildProcess): Complaints {
  const complaints = { text: '' };
  child.stderr!.on('data', (chunk: Buffer) => {
    complaints.text = `${complaints.text}${chunk.toString()}`.slice(-TEXT_MAX);
  });
  return complaints;
}

/** In its own words, or that it was ended for what it used. */
export function complaintOf({ text }: Complaints, code: number | null): string {
  if (code === CPU_TIME_UP) return 'it took too much CPU time';
  const at = text.lastIndexOf(COMPLAINT);
  if (at === -1) return 'it took too much memory';
  return text
    .slice(at + COMPLAINT.length)
    .replace(/[^ -~]+/g, ' ')
    .trim()
    .slice(0, 400);
}

/** Passes on at most `bytes`, and shows each piece to `onChunk`. */
export function limited(bytes: number, refuse: () => Error, onChunk?: (chunk: Buffer) => void): Transform {
  let left = bytes;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      left -= chunk.length;
      if (left < 0) return done(refuse());
      onChunk?.(chunk);
      done(null, chunk);
    },
  });
}
