/**
 * The documents of an image, checked: index, manifest and config as the OCI image specification and Docker's schema 2
 * have them. Pure. https://github.com/opencontainers/image-spec
 */

import { badImage } from './faults.js';

export interface Descriptor {
  mediaType: string;
  digest: string;
  size: number;
  platform?: { os?: string; architecture?: string };
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

export function parseJson(bytes: Buffer, what: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(bytes.toString());
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch {
    // told below
  }
  throw badImage(`${what} of the image is not a JSON document`);
}

export function checkDigest(digest: unknown, what: string): string {
  if (typeof digest === 'string' && DIGEST.test(digest)) return digest;
  throw badImage(`${what} of the image has no sha256 digest`);
}

/** The manifest for this host among those of an index. */
export function chooseManifest(index: Record<string, unknown>, arch: string = process.arch): Descriptor {
  const wanted = ARCHITECTURES[arch] ?? arch;
  const all = (Array.isArray(index.manifests) ? index.manifests : []) as Descriptor[];
  // Attestations come as manifests of the platform "unknown".
  const real = all.filter(({ platform }) => platform?.architecture !== 'unknown');
  const fits = real.find(
    ({ platform }) => platform === undefined || (platform.os === 'linux' && platform.architecture === wanted),
  );
  if (fits !== undefined) return fits;
  const there = real.map(({ platform }) => `${platform?.os}/${platform?.architecture}`);
  throw badImage(
    `the image is for ${there.join(', ') || 'nothing'}, and this host needs linux/${wanted}`,
    `build it with --platform linux/${wanted}`,
  );
}

export function parseConfig(document: Record<string, unknown>, arch: string = process.arch): ImageConfig {
  const wanted = ARCHITECTURES[arch] ?? arch;
  const { os = 'linux', architecture, config, rootfs } = document;
  if (os !== 'linux' || architecture !== wanted) {
    throw badImage(
      `the image is for ${String(os)}/${String(architecture)}, and this host needs linux/${wanted}`,
      `build it with --platform linux/${wanted}`,
    );
  }
  const diffIds = (rootfs as { diff_ids?: unknown } | undefined)?.diff_ids;
  if (!Array.isArray(diffIds) || diffIds.length === 0) throw badImage('the image has no layers');
  const run = (config ?? {}) as Record<string, unknown>;
  const ports = Object.keys((run.ExposedPorts as object | null) ?? {}).flatMap((port) => {
    const [, number] = /^(\d{1,5})(?:\/tcp)?$/.exec(port) ?? [];
    return number === undefined ? [] : [Number(number)];
  });
  const workingDir =
    typeof run.WorkingDir === 'string' && run.WorkingDir.startsWith('/') ? run.WorkingDir : '/';
  return {
    entrypoint: texts(run.Entrypoint, 'Entrypoint'),
    cmd: texts(run.Cmd, 'Cmd'),
    env: texts(run.Env, 'Env').filter((assignment) => assignment.includes('=')),
    workingDir,
    volumes: Object.keys((run.Volumes as object | null) ?? {}).filter((path) => path.startsWith('/')),
    ports,
    diffIds: diffIds.map((digest) => checkDigest(digest, 'a layer')),
  };
}

function texts(value: unknown, what: string): string[] {
  if (value === undefined || value === null) return [];
  if (Array.isArray(value) && value.every((item) => typeof item === 'string' && !item.includes('\0')))
    return value as string[];
  throw badImage(`${what} of the image is not a list of texts`);
}
