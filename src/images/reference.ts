/**
 * What names the image of a function. Where it comes from is seen by its form: an absolute path is a file or folder of this
 * host, `upload:` what a client sent, everything else a registry.
 */

import { NemoError } from '../model/errors.js';
import type { ImageRequest } from '../model/function-source.js';

export type ImageSource =
  | { kind: 'path'; path: string; tag: string | undefined }
  /** An archive that a client sent before. */
  | { kind: 'upload'; id: string; tag: string | undefined }
  | { kind: 'registry'; host: string; repository: string; reference: string };

const HINT = 'name /path/to/layout, /path/to/image.tar or registry.example:5000/name:tag';
const HOST = /^[a-z0-9][-a-z0-9.]*(?::\d{1,5})?$/i;
const REPOSITORY = /^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/;
const REFERENCE = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha256:[0-9a-f]{64})$/;
const UPLOAD = /^upload:([0-9a-f]{32})(?:#([^#/]{1,128}))?$/;
const HANDLER = /^\/[^\0\n]{1,1000}$/;
const TEXT_MAX = 4_096;
const HUB = 'registry-1.docker.io';

/** What came with a deploy. Throws BAD_FUNCTION. Pure. */
export function checkImageRequest(given: Record<keyof ImageRequest, unknown>): ImageRequest {
  const { image, handler, port } = given;
  if (typeof image !== 'string') throw bad('image is not the name of an image');
  parseSource(image);
  const request: ImageRequest = { image };
  if (handler !== undefined) {
    if (typeof handler !== 'string' || !HANDLER.test(handler))
      throw bad('handler is not an absolute path in the image');
    request.handler = handler;
  }
  if (port !== undefined) {
    if (!(Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536))
      throw bad('port is not a TCP port');
    request.port = port as number;
  }
  return request;
}

/** Throws BAD_FUNCTION. Pure. */
export function parseSource(image: string): ImageSource {
  if (image.length > TEXT_MAX || image.includes('\0')) throw bad('that names no image');
  if (image.startsWith('/')) {
    const [, path, tag] = /^(.*?)(?:#([^#/]+))?$/s.exec(image)!;
    return { kind: 'path', path: path!, tag };
  }
  const [, id, uploadTag] = UPLOAD.exec(image) ?? [];
  if (id !== undefined) return { kind: 'upload', id, tag: uploadTag };
  const [, name, tag, digest] = /^([^@]*?)(?::([^:/@]+))?(?:@(.+))?$/.exec(image) ?? [];
  const first = name?.split('/')[0] ?? '';
  const named = name !== first && (/[.:]/.test(first) || first === 'localhost');
  const rest = named ? name!.slice(first.length + 1) : (name ?? '');
  const repository = named || rest.includes('/') ? rest : `library/${rest}`;
  const reference = digest ?? tag ?? 'latest';
  if ((named && !HOST.test(first)) || !REPOSITORY.test(repository) || !REFERENCE.test(reference))
    throw bad(`'${image.slice(0, 200)}' names no image`);
  return { kind: 'registry', host: named && first !== 'docker.io' ? first : HUB, repository, reference };
}

function bad(message: string): NemoError {
  return new NemoError('BAD_FUNCTION', message, { hint: HINT });
}
