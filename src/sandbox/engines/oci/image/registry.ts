/**
 * Pulls from a registry by the OCI distribution protocol: manifest (or an index, from which the one for this host is
 * chosen), bearer tokens where the registry asks for them, blobs into files. HTTPS, and plain HTTP to this host only.
 */

import { createHash } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { Readable, Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fetch, type Response } from 'undici';
import { NemoError } from '../../../../errors.js';
import { OCI } from '../../../../tunables.js';
import { badImage } from './faults.js';
import { checkDigest, chooseManifest, parseJson } from './image.js';
import type { ImageSource } from './reference.js';
import { manifestParts, type OpenImage } from './sources.js';

const ACCEPT = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');
const LOCAL = /^(localhost|127\.\d+\.\d+\.\d+|\[::1\])(:\d+)?$/;

export class Registry {
  private readonly base: string;
  private token: string | undefined;

  constructor(
    private readonly source: Extract<ImageSource, { kind: 'registry' }>,
    private readonly scratch: string,
  ) {
    const { host, repository } = source;
    this.base = `${LOCAL.test(host) ? 'http' : 'https'}://${host}/v2/${repository}`;
  }

  async open(): Promise<OpenImage> {
    let { reference } = this.source;
    let document: Record<string, unknown> = {};
    for (let depth = 0; ; depth++) {
      if (depth > OCI.indexDepthMax) throw badImage('the indexes of the image go too deep');
      const bytes = await this.small(`manifests/${reference}`);
      if (reference.startsWith('sha256:')) checkContent(bytes, reference);
      document = parseJson(bytes, 'the manifest');
      if (!Array.isArray(document.manifests)) break;
      reference = checkDigest(chooseManifest(document).digest, 'a manifest');
    }
    const { config, layers } = manifestParts(document);
    const bytes = await this.small(`blobs/${config.digest}`);
    return {
      config: { bytes, digest: config.digest },
      layers: layers.map(({ digest }) => ({ digest, fetch: () => this.toFile(digest) })),
    };
  }

  private async small(path: string): Promise<Buffer> {
    const response = await this.get(path);
    const parts: Uint8Array[] = [];
    let bytes = 0;
    for await (const part of response.body ?? []) {
      bytes += part.length;
      if (bytes > OCI.documentMaxBytes) throw badImage(`${path} of the image is too large`);
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  private async toFile(digest: string): Promise<string> {
    const file = join(this.scratch, digest.slice(7));
    const response = await this.get(`blobs/${digest}`);
    let left: number = OCI.imageMaxBytes;
    const bound = new Transform({
      transform(chunk: Buffer, _encoding, done) {
        left -= chunk.length;
        done(left < 0 ? badImage('a layer is larger than an image may be') : null, chunk);
      },
    });
    await pipeline(Readable.fromWeb(response.body as never), bound, createWriteStream(file));
    return file;
  }

  private async get(path: string): Promise<Response> {
    const url = `${this.base}/${path}`;
    let response = await this.request(url);
    if (response.status === 401 && this.token === undefined) {
      this.token = await this.login(response.headers.get('www-authenticate') ?? '');
      response = await this.request(url);
    }
    if (response.ok) return response;
    await response.body?.cancel();
    const { host, repository } = this.source;
    throw new NemoError('NOT_FOUND', `${host} answers ${response.status} for ${repository}/${path}`, {
      hint:
        response.status === 401 || response.status === 403
          ? 'only images that anybody may pull are supported: save it with `docker save` instead'
          : 'check the name and the tag',
    });
  }

  private async request(url: string, headers: Record<string, string> = {}): Promise<Response> {
    const bearer = this.token === undefined ? {} : { authorization: `Bearer ${this.token}` };
    try {
      return await fetch(url, {
        headers: { accept: ACCEPT, ...bearer, ...headers },
        signal: AbortSignal.timeout(OCI.fetchTimeoutMs),
      });
    } catch (thrown) {
      const cause = (thrown as { cause?: Error }).cause ?? (thrown as Error);
      throw new NemoError(
        'NOT_FOUND',
        `the registry ${new URL(url).host} cannot be reached: ${cause.message}`,
        {
          hint: 'check its address, or deploy the image from a tar',
          cause: thrown,
        },
      );
    }
  }

  /** An anonymous token, from where the registry says that they are given. */
  private async login(challenge: string): Promise<string> {
    const field = (name: string) => new RegExp(`${name}="([^"]*)"`, 'i').exec(challenge)?.[1];
    const realm = field('realm');
    if (!/^bearer /i.test(challenge) || realm === undefined || !URL.canParse(realm))
      throw badImage(
        `${this.source.host} asks for a login that is not supported`,
        'deploy the image from a tar',
      );
    const url = new URL(realm);
    url.searchParams.set('scope', field('scope') ?? `repository:${this.source.repository}:pull`);
    const service = field('service');
    if (service !== undefined) url.searchParams.set('service', service);
    const response = await this.request(url.href);
    const answer = parseJson(Buffer.from(await response.arrayBuffer()), 'the token');
    const token = answer.token ?? answer.access_token;
    if (typeof token !== 'string') throw badImage(`${url.host} gave no token`, 'deploy the image from a tar');
    return token;
  }
}

function checkContent(bytes: Buffer, digest: string): void {
  if (`sha256:${createHash('sha256').update(bytes).digest('hex')}` !== digest)
    throw badImage(`the registry sent something else than ${digest}`, 'pull it again');
}
