/**
 * Unpacks the plain tar of a layer on stdin into the directory that it may write to. Arguments: bytes, files and the
 * target of links that stand for what is taken away. Counts what it writes. Whoever reads the directory afterwards
 * believes none of it: see `seal.ts`.
 */

import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { COMPLAINT, OUT_INSIDE, STARTED } from '../../confinement/confined/protocol.js';
import { NemoError } from '../../model/errors.js';
import { LayerWriter } from '../layer.js';

process.stdout.write(STARTED);
const [bytes = '', entries = '', takenAway = ''] = process.argv.slice(2);
const layer = new LayerWriter(OUT_INSIDE, { bytes: Number(bytes), entries: Number(entries) }, takenAway);
const sink = new Writable({
  write: (chunk: Buffer, _encoding, done) => layer.write(chunk, done),
  final: (done) => layer.end(done),
});
pipeline(process.stdin, sink).catch((thrown: NodeJS.ErrnoException) => {
  const { code = '', message } = thrown;
  const why = thrown instanceof NemoError ? message : `${code} ${message}`;
  process.stderr.write(`${COMPLAINT}${why.replace(/\s+/g, ' ').slice(0, 400)}\n`);
  process.exitCode = code === 'ENOSPC' || code === 'EDQUOT' ? 5 : 4;
});
