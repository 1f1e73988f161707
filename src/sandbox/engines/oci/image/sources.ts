/**
 * Where the blobs of an image come from, behind one interface: an OCI layout folder, a tar of one, a tar of
 * `docker save`, a registry.
 */

import { existsSync, mkdirSync, readdirSync, readFileSync, realpathSync, statSync } from 'node:fs';
import { join, relative } from 'node:path';
import { extract } from 'tar';
import { NemoError } from '../../../../errors.js';
import { OCI } from '../../../../tunables.js';
import { badImage } from './faults.js';
import { checkDigest, chooseManifest, type Descriptor, parseJson } from './image.js';
import { type ImageSource, parseSource } from './reference.js';
import { Registry } from './registry.js';

/** One image, whatever it came from. */
export interface OpenImage {
  config: { bytes: Buffer; digest: string | undefined };
  /** Lowest first; `fetch` gives a file, whose content nobody has checked. */
  layers: Array<{ digest: string | undefined; fetch(): Promise<string> }>;
}

/** `scratch`: an empty directory for what has to be unpacked or downloaded. */
export async function openImage(image: string, scratch: string): Promise<OpenImage> {
  const source = parseSource(image);
  if (source.kind === 'registry') return new Registry(source, scratch).open();
  const found = statSync(source.path, { throwIfNoEntry: false });
  if (found === undefined) {
    throw new NemoError('NOT_FOUND', `there is no image at ${source.path}`, {
      hint: 'the agent reads it on its own host: check the path there',
    });
  }
  if (found.isDirectory()) return openLayout(source.path, source);
  const folder = join(scratch, 'archive');
  await unpackArchive(source.path, folder);
  if (existsSync(join(folder, 'index.json'))) return openLayout(folder, source);
  if (existsSync(join(folder, 'manifest.json'))) return openDockerArchive(folder, source);
  throw badImage(
    `${source.path} is neither an OCI layout nor a tar of \`docker save\``,
    'use `docker save -o`',
  );
}

/** Only plain files and folders: an archive has no use for links that lead anywhere. */
async function unpackArchive(file: string, folder: string): Promise<void> {
  mkdirSync(folder);
  let left = OCI.imageMaxBytes;
  try {
    await extract({
      file,
      cwd: folder,
      strict: true,
      filter: (_path, entry) => {
        left -= (entry as { size?: number }).size ?? 0;
        if (left < 0) throw badImage('the archive is larger than an image may be', 'make the image smaller');
        return ['File', 'OldFile', 'Directory'].includes((entry as { type?: string }).type ?? '');
      },
    });
  } catch (thrown) {
    const { code = '', message } = thrown as NodeJS.ErrnoException;
    if (thrown instanceof NemoError || code === 'ENOSPC') throw thrown;
    throw badImage(`${file} is not a tar of an image: ${message}`);
  }
}

type PathSource = Extract<ImageSource, { kind: 'path' }>;

function openLayout(folder: string, { path, tag }: PathSource): OpenImage {
  const blob = (digest: string) => inside(folder, join('blobs', 'sha256', digest.slice(7)));
  const index = parseJson(readInside(folder, 'index.json'), 'index.json');
  const listed = (Array.isArray(index.manifests) ? index.manifests : []) as Descriptor[];
  const named = listed.filter(
    ({ annotations }) => tag === undefined || annotations?.['org.opencontainers.image.ref.name'] === tag,
  );
  if (named.length === 0) {
    throw new NemoError('NOT_FOUND', `${path} has no image${tag === undefined ? '' : ` '${tag}'`}`, {
      hint: 'name one as /path#tag',
    });
  }
  let document = { manifests: named } as Record<string, unknown>;
  for (let depth = 0; Array.isArray(document.manifests); depth++) {
    if (depth > OCI.indexDepthMax) throw badImage('the indexes of the image go too deep');
    const digest = checkDigest(chooseManifest(document).digest, 'a manifest');
    document = parseJson(readFileSync(blob(digest)), 'the manifest');
  }
  const { config, layers } = manifestParts(document);
  return {
    config: { bytes: readFileSync(blob(config.digest)), digest: config.digest },
    layers: layers.map(({ digest }) => ({ digest, fetch: async () => blob(digest) })),
  };
}

function openDockerArchive(folder: string, { path, tag }: PathSource): OpenImage {
  const entries = parseJson(readInside(folder, 'manifest.json'), 'manifest.json') as unknown as Array<{
    Config?: unknown;
    Layers?: unknown;
    RepoTags?: string[] | null;
  }>;
  const entry = Array.isArray(entries)
    ? entries.find(({ RepoTags }) => tag === undefined || RepoTags?.some((name) => name.endsWith(`:${tag}`)))
    : undefined;
  if (entry === undefined) throw badImage(`${path} has no image${tag === undefined ? '' : ` '${tag}'`}`);
  if (typeof entry.Config !== 'string' || !Array.isArray(entry.Layers))
    throw badImage('manifest.json of the image names no config or no layers');
  return {
    config: { bytes: readInside(folder, entry.Config), digest: undefined },
    layers: entry.Layers.map((name) => ({
      digest: undefined,
      fetch: async () => inside(folder, String(name)),
    })),
  };
}

export function manifestParts(manifest: Record<string, unknown>): {
  config: Descriptor;
  layers: Descriptor[];
} {
  const { config, layers } = manifest as { config?: Descriptor; layers?: Descriptor[] };
  checkDigest(config?.digest, 'the config');
  if (!Array.isArray(layers)) throw badImage('the manifest of the image lists no layers');
  for (const layer of layers) checkDigest(layer?.digest, 'a layer');
  return { config: config!, layers };
}

function readInside(folder: string, name: string): Buffer {
  return readFileSync(inside(folder, name));
}

/** A file of an image's folder; never one that a link or `..` makes of it elsewhere. */
function inside(folder: string, name: string): string {
  const path = join(folder, name);
  const found = statSync(path, { throwIfNoEntry: false });
  if (found === undefined || !found.isFile()) {
    const there = readdirSync(folder).slice(0, 5).join(', ');
    throw badImage(`the image lacks ${name.slice(0, 200)} (there are ${there})`, 'save the image again');
  }
  const way = relative(realpathSync(folder), realpathSync(path));
  if (way.startsWith('..')) throw badImage(`${name.slice(0, 200)} lies outside of the image`);
  return path;
}
