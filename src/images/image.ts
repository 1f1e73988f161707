/**
 * The documents of an image, checked: index, manifest and config as the OCI image specification and Docker's schema 2
 * have them. Pure. https://github.com/opencontainers/image-spec
 */

import { createHash } from 'node:crypto';
import { posix } from 'node:path';
import { isWithin } from '../streams/json.js';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';
import { layerParts } from './layer-path.js';

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { os?: string; architecture?: string; variant?: string } | null;
  artifactType?: string;
  annotations?: Record<string, string>;
}

export interface ImageConfig {
  entrypoint: string[];
  cmd: string[];
  env: string[];
  workingDir: string;
  volumes: string[];
  /** Exposed TCP ports. */
  ports: number[];
  /** Digests of the plain tars, lowest layer first. */
  diffIds: string[];
}

/** Node's names of architectures -> those of images. */
const ARCHITECTURES: Record<string, string> = { x64: 'amd64', arm64: 'arm64' };
const DIGEST = /^sha256:[0-9a-f]{64}$/;

/** Whose mount points NEMO makes. */
const RESERVED = new Set(['.nemo', 'proc']);

/** Bounded in size and depth. Throws BAD_FUNCTION. */
export function parseJson(bytes: Buffer, what: string): Record<string, unknown> {
  if (bytes.length > OCI.documentMaxBytes) throw badImage(`${what} of the image is too large`);
  const text = bytes.toString();
  if (!isWithin(text, OCI.document))
    throw badImage(`${what} of the image goes too deep or has too many values`);
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw badImage(`${what} of the image is not a JSON document`);
}

export function listOf<T>(value: unknown, what: string): Array<T | null> {
  if (!Array.isArray(value)) return [];
  if (value.length > OCI.configTextsMax) throw badImage(`${what} of the image lists too many`);
  return value as Array<T | null>;
}

export function checkContent(bytes: Buffer, digest: string): void {
  if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest)
    throw badImage(`the image has something else than ${digest}`, 'fetch it again');
}

export function checkDigest(digest: unknown, what: string): string {
  if (typeof digest === 'string' && DIGEST.test(digest)) return digest;
  throw badImage(`${what} of the image has no sha256 digest`);
}

/** Of processors that every one of the architecture has; a list may begin with one that few have, as amd64 v3. */
const COMMON_VARIANTS = ['', 'v1', 'v8'];

/**
 * The manifest for this host among those of an index: one that says so before one that says nothing, as the only image of a
 * layout may. Signatures, bills of materials and attestations (of the platform "unknown") are none.
 */
export function chooseManifest(index: Record<string, unknown>, arch: string = process.arch): Descriptor {
  const wanted = ARCHITECTURES[arch] ?? arch;
  const real = listOf<Descriptor>(index.manifests, 'the index').flatMap((one) =>
    one === null ||
    one.platform?.architecture === 'unknown' ||
    typeof one.artifactType === 'string' ||
    one.annotations?.['vnd.docker.reference.type'] !== undefined
      ? []
      : [one],
  );
  const named = real.filter(({ platform }) => platform?.os === 'linux' && platform.architecture === wanted);
  const common = named.find(({ platform }) => COMMON_VARIANTS.includes(platform?.variant ?? ''));
  const fits = common ?? named[0] ?? real.find(({ platform }) => platform === undefined || platform === null);
  if (fits !== undefined) return fits;
  const there = real.slice(0, 10).map(({ platform }) => shown(platform?.os, platform?.architecture));
  throw badImage(
    `the image is for ${there.join(', ') || 'nothing'}, and this host needs linux/${wanted}`,
    `build it with --platform linux/${wanted}`,
  );
}

export function parseConfig(document: Record<string, unknown>, arch: string = process.arch): ImageConfig {
  const wanted = ARCHITECTURES[arch] ?? arch;
  // Old tools leave them out, or empty.
  const os = document.os || 'linux';
  const architecture = document.architecture || wanted;
  const { config } = document;
  const rootfs = asMap(document.rootfs);
  if (os !== 'linux' || architecture !== wanted) {
    throw badImage(
      `the image is for ${shown(os, architecture)}, and this host needs linux/${wanted}`,
      `build it with --platform linux/${wanted}`,
    );
  }
  const diffIds = rootfs.diff_ids;
  if (!Array.isArray(diffIds) || diffIds.length === 0) throw badImage('the image has no layers');
  if (new Set(diffIds).size > OCI.layersMax)
    throw badImage(`the image has more than ${OCI.layersMax} different layers`, 'squash some of them');
  const run = asMap(config);
  const ports = texts(Object.keys(asMap(run.ExposedPorts)), 'ExposedPorts').flatMap((port) => {
    const [, number] = /^(\d{1,5})(?:\/tcp)?$/.exec(port) ?? [];
    return number === undefined ? [] : [Number(number)];
  });
  const [workingDir = '/'] = texts([run.WorkingDir ?? '/'], 'WorkingDir').map(absolute);
  const volumes = texts(Object.keys(asMap(run.Volumes)), 'Volumes');
  if (volumes.length > OCI.volumesMax) throw badImage(`the image has more than ${OCI.volumesMax} volumes`);
  for (const path of volumes) checkVolume(path);
  return {
    entrypoint: texts(run.Entrypoint, 'Entrypoint'),
    cmd: texts(run.Cmd, 'Cmd'),
    env: texts(run.Env, 'Env').filter((assignment) => assignment.includes('=')),
    workingDir,
    volumes: volumes.map(absolute),
    ports,
    diffIds: diffIds.map((digest) => checkDigest(digest, 'a layer')),
  };
}

/** A volume hides what is there, so it must not be what a sandbox needs. Throws BAD_FUNCTION. */
export function checkVolume(path: string): void {
  const [top, ...below] = layerParts(path);
  if (top !== undefined && !RESERVED.has(top) && !(top === 'dev' && below.length === 0)) return;
  throw badImage(
    `the image has the volume ${JSON.stringify(path.slice(0, 200))}, which would hide what every sandbox needs`,
    'build the image without it',
  );
}

/** Relative paths of a config are from the root. */
function absolute(path: string): string {
  return posix.resolve('/', path);
}

function texts(value: unknown, what: string): string[] {
  if (value === undefined || value === null) return [];
  const fits = (item: unknown): item is string => typeof item === 'string' && !item.includes('\0');
  if (!Array.isArray(value) || !value.every(fits))
    throw badImage(`${what} of the image is not a list of texts`);
  const bytes = value.reduce((sum, item) => sum + Buffer.byteLength(item), 0);
  if (value.length > OCI.configTextsMax || bytes > OCI.configTextsMaxBytes)
    throw badImage(`${what} of the image is too long`);
  return value;
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function shown(os: unknown, architecture: unknown): string {
  const word = (value: unknown): string => (typeof value === 'string' ? value.slice(0, 40) : 'unknown');
  return `${word(os)}/${word(architecture)}`;
}

export function manifestParts(manifest: Record<string, unknown>): {
  config: Descriptor;
  layers: Descriptor[];
} {
  const { config } = manifest as { config?: Descriptor };
  if (manifest.schemaVersion === 1)
    throw badImage('the manifest of the image has the format of before 2016 (schema 1)', 'push it anew');
  checkDigest(config?.digest, 'the config');
  const { mediaType } = config!;
  if (
    typeof mediaType === 'string' &&
    !/^application\/(?:vnd\.(?:oci|docker)\.|octet-stream)/.test(mediaType)
  )
    throw badImage(`it is not an image of a program, but has ${JSON.stringify(mediaType.slice(0, 100))}`);
  if (!Array.isArray(manifest.layers)) throw badImage('the manifest of the image lists no layers');
  const layers = listOf<Descriptor>(manifest.layers, 'the manifest');
  for (const layer of layers) {
    checkDigest(layer?.digest, 'a layer');
    if (typeof layer?.mediaType === 'string' && layer.mediaType.endsWith('+encrypted'))
      throw badImage('a layer of the image is encrypted', 'decrypt it: `skopeo copy --decryption-key`');
  }
  return { config: config!, layers: layers as Descriptor[] };
}
