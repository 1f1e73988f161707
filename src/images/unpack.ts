/**
 * One layer: blob -> confined decompressor -> confined writer. What passes between them is counted and hashed here, so
 * neither can say that a layer is another one: it is named by what its bytes are, whoever unpacked them.
 */

import { type BinaryLike, createHash } from 'node:crypto';
import { Readable, Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { ended, isBrokenPipe, spawnConfined } from '../confinement/confined/child.js';
import {
  type ConfinedPlace,
  type ConfinedProgram,
  confinedCommand,
} from '../confinement/confined/command.js';
import { diskIsFull } from '../host/storage-quota.js';
import { NemoError } from '../model/errors.js';
import { OCI } from '../tunables/index.js';
import { complaintOf, limited, listenTo } from './complaint.js';
import { badImage, storageFull } from './faults.js';
import { isCompressed, type Room, tooLarge } from './layer.js';

export interface Unpacking {
  place: ConfinedPlace;
  /** Belongs to the place's user. */
  directory: string;
  room: Readonly<Room>;
  /** Target of links that stand for what the layer takes away. */
  takenAway: string;
}

/** A tar has headers and padding beside what it is taken to hold. */
const TAR_MAX_BYTES = OCI.imageMaxBytes + OCI.entriesMax * 1_536;
const ENOSPC_EXIT = 5;

export interface LayerDigests {
  /** Of the blob as it came. */
  blobDigest: string;
  /** Of the plain tar. */
  diffId: string;
}

/** Throws BAD_FUNCTION, STORAGE_FULL. */
export function unpackLayer(blob: Readable, unpacking: Unpacking): Promise<LayerDigests> {
  return readLayer(blob, unpacking.place, unpacking);
}

/** Unpacks nothing. Throws BAD_FUNCTION. */
export function hashLayer(blob: Readable, place: ConfinedPlace): Promise<LayerDigests> {
  return readLayer(blob, place);
}

async function readLayer(blob: Readable, place: ConfinedPlace, unpacking?: Unpacking): Promise<LayerDigests> {
  const failures: Error[] = [];
  const children: ReturnType<typeof spawnConfined>[] = [];
  const fail = (error: Error): void => {
    failures.push(error);
    for (const child of children) child.kill('SIGKILL');
  };
  const start = (what: ConfinedProgram) => {
    const [program, ...args] = confinedCommand(place, {
      ...what,
      cpuMaxSeconds: OCI.importCpuMaxSeconds,
    });
    const child = spawnConfined(program!, args, ['pipe', 'pipe']);
    children.push(child);
    return { child, complaints: listenTo(child), code: ended(child) };
  };
  const watch = setInterval(() => {
    if (unpacking !== undefined && diskIsFull(unpacking.directory))
      fail(storageFull('an image cannot be stored: the disk is full'));
  }, OCI.diskLookMs);
  try {
    const blobHash = createHash('sha256');
    const tarHash = createHash('sha256');
    const hashing = (hash: { update(data: BinaryLike): unknown }) => (chunk: Buffer) =>
      void hash.update(chunk);
    const { head, whole } = await peek(blob);
    const format = isCompressed(head);
    const writer = unpacking === undefined ? undefined : start(writerOf(unpacking));
    writer?.child.stdout?.resume();
    const sink = () => writer?.child.stdin ?? new Writable({ write: (_chunk, _encoding, done) => done() });
    const counted = limited(TAR_MAX_BYTES, tooLarge, hashing(tarHash));
    const received = limited(OCI.imageMaxBytes, tooLarge, hashing(blobHash));
    const passing: Promise<void>[] = [];
    const inflater = format === undefined ? undefined : start({ program: 'inflate', args: [format] });
    if (inflater === undefined) passing.push(pipeline(whole, received, counted, sink()));
    else {
      passing.push(pipeline(whole, received, inflater.child.stdin!));
      passing.push(pipeline(inflater.child.stdout!, counted, sink()));
    }
    const settled = await Promise.all(
      passing.map((one) =>
        one.then(
          () => undefined,
          (error: Error) => error,
        ),
      ),
    );
    for (const error of settled) if (error !== undefined && !isBrokenPipe(error)) fail(error);
    const wrote = await writer?.code;
    const inflated = await inflater?.code;
    if (failures[0] !== undefined) throw failures[0];
    if (inflated !== undefined && inflated !== 0)
      throw badImage(`a layer cannot be decompressed: ${complaintOf(inflater!.complaints, inflated)}`);
    if (wrote === ENOSPC_EXIT) throw storageFull('an image cannot be stored: the disk is full');
    if (writer !== undefined && wrote !== undefined && wrote !== 0)
      throw badImage(`a layer cannot be unpacked: ${complaintOf(writer.complaints, wrote)}`);
    const digest = (hash: ReturnType<typeof createHash>) => `sha256:${hash.digest('hex')}`;
    return { blobDigest: digest(blobHash), diffId: digest(tarHash) };
  } catch (thrown) {
    blob.destroy();
    for (const child of children) child.kill('SIGKILL');
    throw thrown instanceof NemoError
      ? thrown
      : badImage(`a layer cannot be read: ${(thrown as Error).message}`);
  } finally {
    clearInterval(watch);
  }
}

function writerOf({ room, takenAway, directory }: Unpacking): ConfinedProgram {
  return {
    program: 'unpack',
    args: [`${Math.max(0, room.bytes)}`, `${Math.max(0, room.entries)}`, takenAway],
    writable: directory,
    fileMaxBytes: OCI.imageMaxBytes,
  };
}

/** The four bytes that tell how it is compressed, if there are so many, and a stream that gives them again. */
async function peek(stream: Readable): Promise<{ head: Buffer; whole: Readable }> {
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let head = Buffer.alloc(0);
  while (head.length < 4) {
    const next = await chunks.next();
    // An empty file is a layer without entries.
    if (next.done === true) break;
    head = Buffer.concat([head, next.value]);
  }
  const again = async function* (): AsyncGenerator<Buffer> {
    if (head.length > 0) yield head;
    for (;;) {
      const next = await chunks.next();
      if (next.done === true) return;
      yield next.value;
    }
  };
  return { head, whole: Readable.from(again(), { objectMode: false }) };
}
