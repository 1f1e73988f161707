/**
 * An image -> layers in the store and a checked config. Layers are kept unpacked under the digest of their plain tar,
 * so images share them and each is unpacked once. What was not finished has another name and is swept.
 */

import { createHash, randomBytes } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { OCI } from '../../../../tunables.js';
import { badImage, storeFault } from './faults.js';
import { type ImageConfig, parseConfig, parseJson } from './image.js';
import { type Room, unpackLayer } from './layer.js';
import { openImage } from './sources.js';

export interface ImportedImage {
  /** Names of directories in the store, lowest first. */
  layers: string[];
  config: ImageConfig;
}

/** Short, because the kernel wants all of an image's lower directories in one page. */
export function layerName(diffId: string): string {
  return diffId.slice('sha256:'.length, 'sha256:'.length + OCI.layerNameChars);
}

/** Throws NOT_FOUND, BAD_FUNCTION or STORE. Blocks its thread: call it in a worker. */
export async function importImage(image: string, store: string): Promise<ImportedImage> {
  mkdirSync(store, { recursive: true, mode: 0o755 });
  const scratch = mkdtempSync(join(store, 'import-'));
  try {
    const open = await openImage(image, scratch);
    const { bytes, digest } = open.config;
    if (digest !== undefined && `sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest)
      throw badImage('the config of the image is damaged: its content does not have its digest');
    const config = parseConfig(parseJson(bytes, 'the config'));
    if (config.diffIds.length !== open.layers.length || config.diffIds.length > OCI.layersMax) {
      throw badImage(
        `the image has ${open.layers.length} layers and its config speaks of ${config.diffIds.length}; at most ${OCI.layersMax} are taken`,
      );
    }
    const room: Room = { bytes: OCI.imageMaxBytes, entries: OCI.entriesMax };
    const layers: string[] = [];
    for (const [i, layer] of open.layers.entries()) {
      const diffId = config.diffIds[i]!;
      const name = layerName(diffId);
      if (!existsSync(join(store, name))) await addLayer(store, name, diffId, layer, room);
      layers.push(name);
    }
    return { layers, config };
  } catch (thrown) {
    throw storeFault(thrown, `image ${image} cannot be stored`);
  } finally {
    rmSync(scratch, { recursive: true, force: true });
  }
}

async function addLayer(
  store: string,
  name: string,
  diffId: string,
  layer: { digest: string | undefined; fetch(): Promise<string> },
  room: Room,
): Promise<void> {
  const file = await layer.fetch();
  if (layer.digest !== undefined && (await digestOf(file)) !== layer.digest)
    throw badImage(
      `layer ${layer.digest} is damaged: its content does not have this digest`,
      'fetch it again',
    );
  const unfinished = join(store, `${name}.${randomBytes(4).toString('hex')}.tmp`);
  try {
    const found = await unpackLayer(file, unfinished, room);
    if (found !== diffId)
      throw badImage(`a layer is damaged: it unpacks to ${found}, and the config says ${diffId}`);
    renameSync(unfinished, join(store, name));
  } catch (thrown) {
    rmSync(unfinished, { recursive: true, force: true });
    // Another import was faster.
    if (!['ENOTEMPTY', 'EEXIST'].includes((thrown as NodeJS.ErrnoException).code ?? '')) throw thrown;
  }
}

async function digestOf(file: string): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(file), hash);
  return `sha256:${hash.digest('hex')}`;
}
