/**
 * What a function of the `oci` engine is deployed as: one line naming an image, or JSON that also says how it is
 * called. Where the image comes from is seen by its form: an absolute path is a file or folder of this host, `upload:`
 * what a client sent, everything else a registry.
 */

import { NemoError } from '../model/errors.js';

export interface ImageRequest {
  /** As written. */
  image: string;
  /** Path in the image of an ES module that the image's own node runs. Without it: an HTTP server. */
  handler?: string;
  /** TCP port of the HTTP server. Default: the only one that the image exposes, else 8080. */
  port?: number;
}

export type ImageSource =
  | { kind: 'path'; path: string; tag: string | undefined }
  /** An archive that a client sent before. */
  | { kind: 'upload'; id: string; tag: string | undefined }
  | { kind: 'registry'; host: string; repository: string; reference: string };

const FIELDS = ['image', 'handler', 'port'];
const HINT = 'name /path/to/layout, /path/to/image.tar or registry.example:5000/name:tag';
const HOST = /^[a-z0-9][-a-z0-9.]*(?::\d{1,5})?$/i;
const REPOSITORY = /^[a-z0-9]+(?:[._/-]+[a-z0-9]+)*$/;
const REFERENCE = /^(?:[A-Za-z0-9_][A-Za-z0-9._-]{0,127}|sha256:[0-9a-f]{64})$/;
const UPLOAD = /^upload:([0-9a-f]{32})(?:#([^#/]{1,128}))?$/;
const TEXT_MAX = 4_096;
const HUB = 'registry-1.docker.io';

/** Throws BAD_FUNCTION. Pure. */
export function parseRequest(text: string): ImageRequest {
  if (text.length > TEXT_MAX) throw bad('the image request is too long');
  const trimmed = text.trim();
  if (!trimmed.startsWith('{')) {
    parseSource(trimmed);
    return { image: trimmed };
  }
  let value: Record<string, unknown>;
  try {
    value = JSON.parse(trimmed) as Record<string, unknown>;
  } catch (error) {
    throw bad(`the image request is not valid JSON: ${(error as Error).message.slice(0, 200)}`);
  }
  const unknown = Object.keys(value).find((key) => !FIELDS.includes(key));
  if (unknown !== undefined) throw bad(`the image request has the unknown field '${unknown.slice(0, 40)}'`);
  const { image, handler, port } = value;
  if (typeof image !== 'string') throw bad('the image request names no image');
  parseSource(image);
  if (handler !== undefined && (typeof handler !== 'string' || !/^\/[^\0\n]{1,1000}$/.test(handler)))
    throw bad('handler is not an absolute path in the image');
  if (port !== undefined && !(Number.isInteger(port) && Number(port) > 0 && Number(port) < 65_536))
    throw bad('port is not a TCP port');
  return {
    image,
    ...(handler === undefined ? {} : { handler: handler as string }),
    ...(port === undefined ? {} : { port: port as number }),
  };
}

/** Throws BAD_FUNCTION. Pure. */
export function parseSource(image: string): ImageSource {
  if (image.startsWith('/')) {
    const [, path, tag] = /^(.*?)(?:#([^#/]+))?$/s.exec(image)!;
    if (image.length > TEXT_MAX || image.includes('\0')) throw bad('that names no image');
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
