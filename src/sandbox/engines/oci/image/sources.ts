/**
 * Where the blobs of an image come from, behind one interface: an OCI layout folder, a tar of one, a tar of
 * `docker save`, a registry. Files are those below the operator's folders for images, and what a client sent.
 */

import { closeSync, fstatSync, read, readSync } from 'node:fs';
import { isAbsolute, normalize, relative } from 'node:path';
import { Readable } from 'node:stream';
import { promisify } from 'node:util';
import { NemoError } from '../../../../errors.js';
import { openBeneath } from '../../../../linux/open-beneath.js';
import { OCI } from '../../../../tunables.js';
import { type ImportTools, indexArchive, inflateArchive } from './archive.js';
import { badImage } from './faults.js';
import { checkContent, checkDigest, chooseManifest, type Descriptor, listOf, parseJson } from './image.js';
import { isCompressed } from './layer.js';
import { type ImageSource, parseSource } from './reference.js';
import { Registry } from './registry.js';
import type { RegistryAccess } from './registry-rules.js';

const READ_BYTES = 256 * 1024;
const readInto = promisify(read);

/** What an agent takes images from. */
export interface ImageAccess {
  /** Folders of this host. */
  imageDirs: readonly string[];
  /** Where uploads lie, as `<id>.tar`. */
  uploadDir: string;
  registries: RegistryAccess;
}

/** One image, whatever it came from. */
export interface OpenImage {
  config: { bytes: Buffer; digest: string | undefined };
  /** Registry and repository; undefined for what is at hand. */
  givenBy: string | undefined;
  /** Lowest first; nobody has checked the content that `open` gives. */
  layers: Array<{ digest: string | undefined; open(): Promise<Readable> }>;
  close(): void;
}

/** NOT_FOUND, BAD_FUNCTION, STORAGE_FULL. */
export async function openImage(image: string, access: ImageAccess, tools: ImportTools): Promise<OpenImage> {
  const source = parseSource(image);
  if (source.kind === 'registry') return new Registry(source, access.registries).open();
  const opened =
    source.kind === 'upload'
      ? openBeneath(access.uploadDir, `${source.id}.tar`)
      : openListed(access.imageDirs, source.path);
  if (opened === undefined) throw noImage(source);
  const { fd } = opened;
  try {
    if (opened.kind === 'directory') return openLayout(new Folder(fd), source.tag);
    return await openArchive(fd, source.tag, tools);
  } catch (thrown) {
    closeSync(fd);
    throw thrown;
  }
}

function openListed(imageDirs: readonly string[], path: string) {
  for (const directory of imageDirs) {
    const way = relative(directory, normalize(path));
    if (!way.startsWith('..') && !isAbsolute(way)) return openBeneath(directory, way);
  }
  return undefined;
}

/** The same words for what is not there, not a file, and not to be read: they must not tell which. */
function noImage(source: Exclude<ImageSource, { kind: 'registry' }>): NemoError {
  if (source.kind === 'upload')
    return new NemoError('NOT_FOUND', 'the image that was sent is not there', { hint: 'send it again' });
  return new NemoError('NOT_FOUND', `there is no image at ${source.path} that this agent may open`, {
    hint: '`nemo deploy` sends a file of yours; folders that the agent reads are named by imageDirs in its configuration',
  });
}

/** A part of an open file. */
interface Part {
  fd: number;
  offset: number;
  size: number;
}

interface ImageFiles {
  find(name: string): Part | undefined;
  close(): void;
}

class Folder implements ImageFiles {
  private readonly open: number[] = [];

  constructor(private readonly directory: number) {}

  find(name: string): Part | undefined {
    const opened = openBeneath(this.directory, name);
    if (opened === undefined) return undefined;
    this.open.push(opened.fd);
    return opened.kind === 'file' ? { fd: opened.fd, offset: 0, size: opened.size } : undefined;
  }

  close(): void {
    for (const fd of [...this.open, this.directory]) closeSync(fd);
  }
}

async function openArchive(given: number, tag: string | undefined, tools: ImportTools): Promise<OpenImage> {
  const format = isCompressed(readPart({ fd: given, offset: 0, size: 4 }));
  const fd = format === undefined ? given : await inflateArchive(given, format, tools);
  try {
    const files = new Map<string, Part>();
    for (const [name, offset, size] of await indexArchive(fd, tools))
      files.set(normalize(name), { fd, offset, size });
    const archive: ImageFiles = {
      find: (name) => files.get(normalize(name)),
      close: () => {
        closeSync(fd);
        if (fd !== given) closeSync(given);
      },
    };
    if (files.has('index.json')) return openLayout(archive, tag);
    if (files.has('manifest.json')) return openDockerArchive(archive, tag);
    throw badImage('it is neither an OCI layout nor a tar of `docker save`', 'use `docker save -o`');
  } catch (thrown) {
    if (fd !== given) closeSync(fd);
    throw thrown;
  }
}

function openLayout(files: ImageFiles, tag: string | undefined): OpenImage {
  const blob = (digest: string) => need(files, `blobs/sha256/${digest.slice('sha256:'.length)}`);
  const index = parseJson(document(need(files, 'index.json')), 'index.json');
  const named = listOf<Descriptor>(index.manifests, 'index.json').filter(
    (one) => tag === undefined || one?.annotations?.['org.opencontainers.image.ref.name'] === tag,
  );
  if (named.length === 0) throw noTag(tag);
  let parsed: Record<string, unknown> = { manifests: named };
  for (let depth = 0; Array.isArray(parsed.manifests); depth++) {
    if (depth > OCI.indexDepthMax) throw badImage('the indexes of the image go too deep');
    const digest = checkDigest(chooseManifest(parsed).digest, 'a manifest');
    const bytes = document(blob(digest));
    checkContent(bytes, digest);
    parsed = parseJson(bytes, 'the manifest');
  }
  const { config, layers } = manifestParts(parsed);
  return {
    config: { bytes: document(blob(config.digest)), digest: config.digest },
    givenBy: undefined,
    layers: layers.map(({ digest }) => ({ digest, open: async () => streamOf(blob(digest)) })),
    close: () => files.close(),
  };
}

function openDockerArchive(files: ImageFiles, tag: string | undefined): OpenImage {
  const entries = parseJson(document(need(files, 'manifest.json')), 'manifest.json') as unknown;
  const entry = listOf<{ Config?: unknown; Layers?: unknown; RepoTags?: unknown }>(
    entries,
    'manifest.json',
  ).find(
    (one) =>
      tag === undefined ||
      (Array.isArray(one?.RepoTags) &&
        one.RepoTags.some((name) => typeof name === 'string' && name.endsWith(`:${tag}`))),
  );
  if (entry === undefined) throw noTag(tag);
  const { Config, Layers } = entry ?? {};
  if (typeof Config !== 'string' || !Array.isArray(Layers) || Layers.length > OCI.layersMax)
    throw badImage('manifest.json of the image names no config, no layers or too many');
  return {
    config: { bytes: document(need(files, Config)), digest: undefined },
    givenBy: undefined,
    layers: Layers.map((name) => ({
      digest: undefined,
      open: async () => streamOf(need(files, typeof name === 'string' ? name : '')),
    })),
    close: () => files.close(),
  };
}

export function manifestParts(manifest: Record<string, unknown>): {
  config: Descriptor;
  layers: Descriptor[];
} {
  const { config } = manifest as { config?: Descriptor };
  checkDigest(config?.digest, 'the config');
  if (!Array.isArray(manifest.layers)) throw badImage('the manifest of the image lists no layers');
  const layers = listOf<Descriptor>(manifest.layers, 'the manifest');
  if (layers.length > OCI.layersMax) throw badImage(`the image has more than ${OCI.layersMax} layers`);
  for (const layer of layers) checkDigest(layer?.digest, 'a layer');
  return { config: config!, layers: layers as Descriptor[] };
}

function noTag(tag: string | undefined): NemoError {
  const which = tag === undefined ? '' : ` '${tag.slice(0, 80)}'`;
  return new NemoError('NOT_FOUND', `there is no image${which} in it`, { hint: 'name one as /path#tag' });
}

function need(files: ImageFiles, name: string): Part {
  const part = files.find(name);
  if (part !== undefined) return part;
  throw badImage(`the image lacks ${JSON.stringify(name.slice(0, 200))}`, 'save the image again');
}

function document(part: Part): Buffer {
  if (part.size > OCI.documentMaxBytes) throw badImage('a document of the image is too large');
  return readPart(part);
}

function readPart({ fd, offset, size }: Part): Buffer {
  const buffer = Buffer.alloc(Math.min(size, fstatSync(fd).size));
  let done = 0;
  while (done < buffer.length) {
    const bytes = readSync(fd, buffer, done, buffer.length - done, offset + done);
    if (bytes === 0) break;
    done += bytes;
  }
  return buffer.subarray(0, done);
}

/** Leaves the descriptor open, however it ends. */
function streamOf({ fd, offset, size }: Part): Readable {
  const chunks = async function* (): AsyncGenerator<Buffer> {
    for (let at = offset; at < offset + size; ) {
      const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, offset + size - at));
      const { bytesRead } = await readInto(fd, buffer, 0, buffer.length, at);
      if (bytesRead === 0) return;
      at += bytesRead;
      yield buffer.subarray(0, bytesRead);
    }
  };
  return Readable.from(chunks(), { objectMode: false });
}
