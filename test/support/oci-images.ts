/** Images for tests, made of this host's own files: no registry is reached. */

import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, realpathSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { Header } from 'tar';

export interface TarEntry {
  path: string;
  type?: 'File' | 'Directory' | 'SymbolicLink' | 'Link' | 'CharacterDevice' | 'BlockDevice' | 'FIFO';
  content?: Buffer | string;
  linkpath?: string;
  mode?: number;
  uid?: number;
  mtime?: Date;
}

export interface ImageInput {
  layers: TarEntry[][];
  config?: Record<string, unknown>;
  architecture?: string;
  gzip?: boolean;
  tag?: string;
}

export const sha256 = (bytes: Buffer) => `sha256:${createHash('sha256').update(bytes).digest('hex')}`;

export function tarOf(entries: readonly TarEntry[]): Buffer {
  const parts: Buffer[] = [];
  for (const entry of entries) {
    const { path, type = 'File', content = '', linkpath, mode = 0o755, uid = 0, mtime = new Date(0) } = entry;
    const body = Buffer.from(content);
    const block = Buffer.alloc(512);
    const link = linkpath === undefined ? {} : { linkpath };
    new Header({ path, type, mode, size: body.length, uid, gid: uid, mtime, ...link }).encode(block);
    parts.push(block, body, Buffer.alloc(-body.length & 511));
  }
  return Buffer.concat([...parts, Buffer.alloc(1024)]);
}

/** Writes an OCI layout; returns the digests of its blobs. */
export function writeLayout(
  folder: string,
  { layers, config = {}, architecture = 'amd64', gzip, tag }: ImageInput,
) {
  const blobs = join(folder, 'blobs', 'sha256');
  mkdirSync(blobs, { recursive: true });
  const put = (bytes: Buffer, mediaType: string) => {
    const digest = sha256(bytes);
    writeFileSync(join(blobs, digest.slice(7)), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const type = 'application/vnd.oci.image';
  const tars = layers.map(tarOf);
  const layerBlobs = tars.map((tar) =>
    put(gzip ? gzipSync(tar, { level: 1 }) : tar, `${type}.layer.v1.tar${gzip ? '+gzip' : ''}`),
  );
  const image = { os: 'linux', architecture, config, rootfs: { type: 'layers', diff_ids: tars.map(sha256) } };
  const configBlob = put(Buffer.from(JSON.stringify(image)), `${type}.config.v1+json`);
  const manifest = {
    schemaVersion: 2,
    mediaType: `${type}.manifest.v1+json`,
    config: configBlob,
    layers: layerBlobs,
  };
  const manifestBlob = put(Buffer.from(JSON.stringify(manifest)), `${type}.manifest.v1+json`);
  const annotations = tag === undefined ? {} : { annotations: { 'org.opencontainers.image.ref.name': tag } };
  writeFileSync(join(folder, 'oci-layout'), '{"imageLayoutVersion":"1.0.0"}');
  writeFileSync(
    join(folder, 'index.json'),
    JSON.stringify({ schemaVersion: 2, manifests: [{ ...manifestBlob, ...annotations }] }),
  );
  return {
    manifest: manifestBlob.digest,
    config: configBlob.digest,
    layers: layerBlobs.map(({ digest }) => digest),
  };
}

/** A tar as `docker save` makes it. */
export function dockerArchive({ layers, config = {} }: ImageInput): Buffer {
  const tars = layers.map(tarOf);
  const image = {
    os: 'linux',
    architecture: 'amd64',
    config,
    rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
  };
  const manifest = [
    { Config: 'config.json', RepoTags: ['test:latest'], Layers: tars.map((_, i) => `${i}/layer.tar`) },
  ];
  return tarOf([
    { path: 'config.json', content: JSON.stringify(image) },
    ...tars.map((content, i) => ({ path: `${i}/layer.tar`, content })),
    { path: 'manifest.json', content: JSON.stringify(manifest) },
  ]);
}

/** busybox with the names of some of its tools. */
export function busyboxLayer(): TarEntry[] {
  const tools = ['sh', 'cat', 'httpd', 'env', 'id', 'sleep', 'echo', 'printf'];
  return [
    { path: 'bin/', type: 'Directory' },
    { path: 'bin/busybox', content: readFileSync('/bin/busybox') },
    ...tools.map((tool): TarEntry => ({ path: `bin/${tool}`, type: 'SymbolicLink', linkpath: 'busybox' })),
  ];
}

/** This host's node and its libraries. */
export function nodeLayer(): TarEntry[] {
  const node = realpathSync(process.execPath);
  const listing = execFileSync('ldd', [node], { encoding: 'utf8' });
  const libraries = [...listing.matchAll(/(?:=>\s*)?(\/\S+)\s+\(0x/g)].map((match) => match[1]!);
  return [
    { path: 'usr/bin/node', content: readFileSync(node) },
    ...libraries.map((path) => ({ path: path.slice(1), content: readFileSync(realpathSync(path)) })),
  ];
}
