/** Images in the formats that tools of other years write. Documents as those tools have them, contents as tests say. */

import { gzipSync } from 'node:zlib';
import { sha256, type TarEntry, tarOf } from './oci-images.js';

const CONFIG = { Cmd: ['/bin/true'], Env: null, Entrypoint: null, Volumes: null, ExposedPorts: null };

const configOf = (tars: Buffer[]) =>
  Buffer.from(
    JSON.stringify({
      ...{ architecture: 'amd64', os: 'linux', config: CONFIG, created: '2020-01-01T00:00:00Z' },
      history: [{ created_by: 'COPY' }, { created_by: 'ENV', empty_layer: true }],
      rootfs: { type: 'layers', diff_ids: tars.map(sha256) },
    }),
  );

/** `docker save` before 1.10: `repositories`, and layers that name their parents. */
export function dockerSaveOfV1(layers: TarEntry[][]): Buffer {
  const id = (i: number) => sha256(Buffer.from(`layer ${i}`)).slice(7);
  return tarOf([
    ...layers.flatMap((layer, i): TarEntry[] => [
      { path: `${id(i)}/`, type: 'Directory' },
      { path: `${id(i)}/VERSION`, content: '1.0' },
      {
        path: `${id(i)}/json`,
        content: JSON.stringify({
          ...{ id: id(i), os: 'linux', architecture: 'amd64', config: CONFIG },
          ...(i === 0 ? {} : { parent: id(i - 1) }),
        }),
      },
      { path: `${id(i)}/layer.tar`, content: tarOf(layer) },
    ]),
    { path: 'repositories', content: JSON.stringify({ busybox: { latest: id(layers.length - 1) } }) },
  ]);
}

/** `docker save` of 1.10 to 24: V1's files, and manifest.json and a config named by its digest. */
export function dockerSave(layers: TarEntry[][]): Buffer {
  const tars = layers.map(tarOf);
  const config = configOf(tars);
  const name = `${sha256(config).slice(7)}.json`;
  const manifest = [
    { Config: name, RepoTags: ['busybox:latest', 'busybox:2'], Layers: tars.map((_, i) => `${i}/layer.tar`) },
  ];
  return tarOf([
    ...tars.flatMap((content, i): TarEntry[] => [
      { path: `${i}/`, type: 'Directory' },
      { path: `${i}/VERSION`, content: '1.0' },
      { path: `${i}/json`, content: '{}' },
      { path: `${i}/layer.tar`, content },
    ]),
    { path: name, content: config },
    { path: 'manifest.json', content: JSON.stringify(manifest) },
    { path: 'repositories', content: '{"busybox":{"latest":"0"}}' },
  ]);
}

/** `docker save` of 25 and later: an OCI layout with an index below its index, an attestation, and manifest.json too. */
export function dockerSave25(layers: TarEntry[][]): Buffer {
  const blobs: TarEntry[] = [];
  const put = (bytes: Buffer, mediaType: string) => {
    const digest = sha256(bytes);
    blobs.push({ path: `blobs/sha256/${digest.slice(7)}`, content: bytes });
    return { mediaType, digest, size: bytes.length };
  };
  const oci = 'application/vnd.oci.image';
  const tars = layers.map(tarOf);
  const config = put(configOf(tars), `${oci}.config.v1+json`);
  const parts = tars.map((tar) => put(tar, `${oci}.layer.v1.tar`));
  const json = (value: unknown) => Buffer.from(JSON.stringify(value));
  const manifest = { schemaVersion: 2, mediaType: `${oci}.manifest.v1+json`, config, layers: parts };
  const main = put(json(manifest), manifest.mediaType);
  const proof = put(json({ ...manifest, layers: [] }), manifest.mediaType);
  const index = put(
    json({
      schemaVersion: 2,
      manifests: [
        {
          ...proof,
          annotations: { 'vnd.docker.reference.type': 'attestation-manifest' },
          platform: { architecture: 'unknown', os: 'unknown' },
        },
        { ...main, platform: { architecture: 'amd64', os: 'linux' } },
      ],
    }),
    `${oci}.index.v1+json`,
  );
  const annotations = {
    'io.containerd.image.name': 'docker.io/library/busybox:latest',
    'org.opencontainers.image.ref.name': 'latest',
  };
  const path = (digest: string) => `blobs/sha256/${digest.slice(7)}`;
  const docker = [
    {
      Config: path(config.digest),
      RepoTags: ['busybox:latest'],
      Layers: parts.map((one) => path(one.digest)),
    },
  ];
  return tarOf([
    { path: 'blobs/', type: 'Directory' },
    { path: 'blobs/sha256/', type: 'Directory' },
    ...blobs,
    { path: 'index.json', content: json({ schemaVersion: 2, manifests: [{ ...index, annotations }] }) },
    { path: 'manifest.json', content: json(docker) },
    { path: 'oci-layout', content: '{"imageLayoutVersion":"1.0.0"}' },
  ]);
}

/** As Bazel's rules_docker and kaniko (`--tar-path`) write it: layers compressed, everything below no folder. */
export function compressedArchive(layers: TarEntry[][]): Buffer {
  const tars = layers.map(tarOf);
  const config = configOf(tars);
  const blobs = tars.map((tar) => gzipSync(tar, { level: 1 }));
  const names = blobs.map((blob) => `${sha256(blob).slice(7)}.tar.gz`);
  const manifest = [{ Config: sha256(config), RepoTags: ['bazel/app:latest'], Layers: names }];
  return tarOf([
    { path: sha256(config), content: config },
    ...blobs.map((content, i) => ({ path: names[i]!, content })),
    { path: 'manifest.json', content: JSON.stringify(manifest) },
  ]);
}
