/**
 * An image -> layers in the store and a checked config. Layers are kept unpacked under the digest of their plain tar,
 * so images share them and each is unpacked once. What was not finished has another name and is swept.
 */

import { createHash, randomBytes } from 'node:crypto';
import {
  appendFileSync,
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import type { ConfinedPlace } from '../confinement/confined/command.js';
import { diskIsFull, inodesLeft, SIZE_ENDING } from '../host/storage-quota.js';
import { OCI } from '../tunables/index.js';
import { badImage, storageFull, storeFault } from './faults.js';
import { type ImageConfig, parseConfig, parseJson } from './image.js';
import type { OpenImage } from './image-files.js';
import type { Room } from './layer.js';
import { hidesAllBelow, sealLayer } from './seal.js';
import { type ImageAccess, openImage } from './sources.js';
import { hashLayer, unpackLayer } from './unpack.js';

export interface ImportedImage {
  /** Names of directories in the store, lowest first. */
  layers: string[];
  config: ImageConfig;
}

/** Plain, so that it can be given to a thread. */
export interface ImportTask {
  image: string;
  store: string;
  place: ConfinedPlace;
  access: ImageAccess;
  /** What the store has room for. */
  roomBytes: number;
}

/** Short, because the kernel wants all of an image's lower directories in one page. */
export function layerName(diffId: string): string {
  const digest = Buffer.from(diffId.slice('sha256:'.length), 'hex');
  return digest.toString('base64url').slice(0, OCI.layerNameChars);
}

/** Throws NOT_FOUND, BAD_FUNCTION, STORAGE_FULL or STORE. Blocks its thread: call it in a worker. */
export async function importImage({
  image,
  store,
  place,
  access,
  roomBytes,
}: ImportTask): Promise<ImportedImage> {
  let scratch: string | undefined;
  let open: OpenImage | undefined;
  try {
    mkdirSync(store, { recursive: true, mode: 0o755 });
    if (diskIsFull(store)) throw storageFull('an image cannot be stored: the disk is full');
    const room: Room = {
      bytes: Math.min(OCI.imageMaxBytes, roomBytes),
      entries: Math.min(OCI.entriesMax, inodesLeft(store)),
    };
    scratch = mkdtempSync(join(store, 'import-'));
    open = await openImage(image, access, { place, scratch, scratchMaxBytes: room.bytes });
    const { bytes, digest } = open.config;
    if (digest !== undefined && `sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest)
      throw badImage('the config of the image is damaged: its content does not have its digest');
    const config = parseConfig(parseJson(bytes, 'the config'));
    if (config.diffIds.length !== open.layers.length) {
      throw badImage(
        `the image has ${open.layers.length} layers and its config speaks of ${config.diffIds.length}`,
      );
    }
    const layers: string[] = [];
    for (const [i, layer] of open.layers.entries()) {
      const diffId = config.diffIds[i]!;
      const name = layerName(diffId);
      const from = { layer, diffId, givenBy: open.givenBy, place };
      // One that comes several times has been given once.
      if (!layers.includes(name)) {
        if (existsSync(join(store, name))) await useLayer(store, name, from);
        else await addLayer(store, name, from, room);
      }
      layers.push(name);
    }
    const seen = layers.findLastIndex((name) => hidesAllBelow(join(store, name)));
    return { layers: uppermost(layers.slice(Math.max(0, seen))), config };
  } catch (thrown) {
    throw storeFault(thrown, `image ${image.slice(0, 200)} cannot be stored`);
  } finally {
    open?.close();
    if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true });
  }
}

/** Where a layer of an image comes from. */
interface LayerFrom {
  layer: OpenImage['layers'][number];
  diffId: string;
  givenBy: string | undefined;
  place: ConfinedPlace;
}

/**
 * A layer that is there. Whoever knows no more than its digest must not get what is in it: it has to come with the image
 * once more, or from a repository that gave it before. There are no names of deployers, so this is asked of every import.
 */
async function useLayer(store: string, name: string, from: LayerFrom): Promise<void> {
  const given = sourceLine(from.givenBy);
  const sources = givenBefore(store, name);
  if (given === undefined || !sources.includes(given)) {
    const { place, layer } = from;
    checkLayer(await hashLayer(await layer.open(), place), from);
    if (given !== undefined && sources.length < OCI.layerSourcesMax)
      appendFileSync(join(store, `${name}${SIZE_ENDING}`), `${given}\n`);
  }
}

/** Hashed: names of private repositories are nobody else's business. */
function sourceLine(givenBy: string | undefined): string | undefined {
  return givenBy === undefined ? undefined : createHash('sha256').update(givenBy).digest('hex');
}

/** They stand below its size. */
function givenBefore(store: string, name: string): string[] {
  const file = join(store, `${name}${SIZE_ENDING}`);
  return existsSync(file) ? readFileSync(file, 'utf8').split('\n').slice(1) : [];
}

function checkLayer(found: { blobDigest: string; diffId: string }, { layer, diffId }: LayerFrom): void {
  if (layer.digest !== undefined && found.blobDigest !== layer.digest)
    throw badImage(
      `layer ${layer.digest} is damaged: its content does not have this digest`,
      'fetch it again',
    );
  if (found.diffId !== diffId)
    throw badImage(`a layer is damaged: it unpacks to ${found.diffId}, and the config says ${diffId}`);
}

/**
 * Of a layer that comes several times, the uppermost copy: it has and takes away all that the others do, and what lies
 * between is below it. The kernel mounts none twice.
 */
function uppermost(layers: readonly string[]): string[] {
  return layers.filter((name, i) => layers.lastIndexOf(name) === i);
}

async function addLayer(store: string, name: string, from: LayerFrom, room: Room): Promise<void> {
  const { layer, place } = from;
  const unfinished = join(store, `${name}.${randomBytes(4).toString('hex')}.tmp`);
  const takenAway = `/${randomBytes(16).toString('hex')}`;
  try {
    mkdirSync(unfinished, { mode: 0o700 });
    chownSync(unfinished, place.uid, place.uid);
    const found = await unpackLayer(await layer.open(), { place, directory: unfinished, room, takenAway });
    checkLayer(found, from);
    const bytes = sealLayer(unfinished, { uid: place.uid, takenAway, room });
    chmodSync(unfinished, 0o755);
    writeFileSync(
      join(store, `${name}${SIZE_ENDING}`),
      `${[bytes, sourceLine(from.givenBy) ?? ''].join('\n').trim()}\n`,
      { mode: 0o600 },
    );
    renameSync(unfinished, join(store, name));
  } catch (thrown) {
    for (const left of [unfinished, join(store, `${name}${SIZE_ENDING}`)])
      rmSync(left, { recursive: true, force: true });
    throw thrown;
  }
}
