/**
 * Where the blobs of an image come from, behind one interface: an OCI layout folder, a tar of one, a tar of
 * `docker save`, a registry. Files are those below the operator's folders for images, and what a client sent.
 */

import { closeSync } from 'node:fs';
import { isAbsolute, normalize, relative } from 'node:path';
import { openBeneath } from '../linux/open-beneath.js';
import { NemoError } from '../model/errors.js';
import { OCI } from '../tunables/index.js';
import { type ImportTools, indexArchive, inflateArchive } from './archive.js';
import { badImage } from './faults.js';
import {
  checkContent,
  checkDigest,
  chooseManifest,
  type Descriptor,
  listOf,
  manifestParts,
  parseJson,
} from './image.js';
import {
  document,
  type ImageFiles,
  need,
  noTag,
  type OpenImage,
  type Part,
  readPart,
  streamOf,
} from './image-files.js';
import { isCompressed } from './layer.js';
import { type ImageSource, parseSource } from './reference.js';
import { ImageRegistry } from './registry.js';
import type { RegistryAccess } from './registry-rules.js';
import { openV1Archive } from './v1-archive.js';

/** What an agent takes images from. */
export interface ImageAccess {
  /** Folders of this host. */
  imageDirs: readonly string[];
  /** Where uploads lie, as `<id>.tar`. */
  uploadDir: string;
  registries: RegistryAccess;
}

/** NOT_FOUND, BAD_FUNCTION, STORAGE_FULL. */
export async function openImage(image: string, access: ImageAccess, tools: ImportTools): Promise<OpenImage> {
  const source = parseSource(image);
  if (source.kind === 'registry') return new ImageRegistry(source, access.registries).open();
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
    if (files.has('repositories')) return await openV1Archive(archive, tag);
    throw badImage('it is neither an OCI layout nor a tar of `docker save`', 'use `docker save -o`');
  } catch (thrown) {
    if (fd !== given) closeSync(fd);
    throw thrown;
  }
}

/** Annotations that name an image of a layout: by its tag alone, or in full as containerd and podman do. */
const NAMES = ['org.opencontainers.image.ref.name', 'io.containerd.image.name'];

function isTagged(name: unknown, tag: string): boolean {
  return typeof name === 'string' && (name === tag || name.endsWith(`:${tag}`));
}

function openLayout(files: ImageFiles, tag: string | undefined): OpenImage {
  const blob = (digest: string) => need(files, `blobs/sha256/${digest.slice('sha256:'.length)}`);
  const index = parseJson(document(need(files, 'index.json')), 'index.json');
  const named = listOf<Descriptor>(index.manifests, 'index.json').filter(
    (one) => tag === undefined || NAMES.some((name) => isTagged(one?.annotations?.[name], tag)),
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
      tag === undefined || (Array.isArray(one?.RepoTags) && one.RepoTags.some((name) => isTagged(name, tag))),
  );
  if (entry === undefined) throw noTag(tag);
  const { Config, Layers } = entry ?? {};
  if (typeof Config !== 'string' || !Array.isArray(Layers) || Layers.length > OCI.configTextsMax)
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
