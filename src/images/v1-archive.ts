/**
 * A tar as `docker save` wrote it before 1.10, and some builders still do: `repositories`, and a folder for each layer with
 * `json` and `layer.tar`, each naming its parent. It has no digests, so those of its layers are taken from their content.
 */

import { createHash } from 'node:crypto';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';
import { parseJson } from './image.js';
import { document, type ImageFiles, need, noTag, type OpenImage, streamOf } from './image-files.js';

const ID = /^[0-9a-zA-Z_.-]{1,128}$/;

export async function openV1Archive(files: ImageFiles, tag: string | undefined): Promise<OpenImage> {
  const top = imageId(parseJson(document(need(files, 'repositories')), 'repositories'), tag);
  const about = (id: string) => parseJson(document(need(files, `${id}/json`)), 'json');
  const newest = about(top);
  const ids: string[] = [];
  for (let id: unknown = top; id !== undefined && id !== null && id !== ''; id = about(id).parent) {
    if (typeof id !== 'string' || !ID.test(id)) throw badImage('a layer of the image has no id');
    if (ids.push(id) > OCI.layersMax) throw badImage(`the image has more than ${OCI.layersMax} layers`);
  }
  const parts = ids.reverse().map((id) => need(files, `${id}/layer.tar`));
  const diffIds: string[] = [];
  for (const part of parts) {
    const hash = createHash('sha256');
    for await (const chunk of streamOf(part)) hash.update(chunk as Buffer);
    diffIds.push(`sha256:${hash.digest('hex')}`);
  }
  const { os, architecture, config } = newest;
  const bytes = Buffer.from(JSON.stringify({ os, architecture, config, rootfs: { diff_ids: diffIds } }));
  return {
    config: { bytes, digest: undefined },
    givenBy: undefined,
    layers: parts.map((part) => ({ digest: undefined, open: async () => streamOf(part) })),
    close: () => files.close(),
  };
}

/** `repositories`: name -> tag -> id of the uppermost layer. */
function imageId(repositories: Record<string, unknown>, tag: string | undefined): string {
  for (const tags of Object.values(repositories))
    for (const [name, id] of Object.entries((tags ?? {}) as Record<string, unknown>))
      if (typeof id === 'string' && (tag === undefined || name === tag)) return id;
  throw noTag(tag);
}
