/**
 * Pulls from a registry by the OCI distribution protocol: manifest (or an index, from which the one for this host is
 * chosen), tokens and logins where the registry asks for them, blobs as streams. What may be asked is decided in
 * `registry-rules.ts`; what is sent is checked by whoever takes it.
 */

import type { Readable } from 'node:stream';
import { NemoError } from '../model/errors.js';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';
import { checkContent, checkDigest, chooseManifest, manifestParts, parseJson } from './image.js';
import type { OpenImage } from './image-files.js';
import type { ImageSource } from './reference.js';
import { type Answer, RegistryClient } from './registry-client.js';
import { loginFor } from './registry-logins.js';
import type { RegistryAccess } from './registry-rules.js';

const ACCEPT = [
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.docker.distribution.manifest.v2+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
].join(', ');
const TOKEN = /^[\x20-\x7e]{1,16384}$/;

export class ImageRegistry {
  private readonly base: string;
  private readonly client: RegistryClient;
  private authorization: string | undefined;

  constructor(
    private readonly source: Extract<ImageSource, { kind: 'registry' }>,
    private readonly access: RegistryAccess,
  ) {
    const { host, repository } = source;
    this.client = new RegistryClient(host, access);
    this.base = `${this.client.scheme}://${host}/v2/${repository}`;
  }

  async open(): Promise<OpenImage> {
    try {
      let { reference } = this.source;
      let document: Record<string, unknown> = {};
      for (let depth = 0; ; depth++) {
        if (depth > OCI.indexDepthMax) throw badImage('the indexes of the image go too deep');
        const bytes = await this.document(`manifests/${reference}`);
        if (reference.startsWith('sha256:')) checkContent(bytes, reference);
        document = parseJson(bytes, 'the manifest');
        if (!Array.isArray(document.manifests)) break;
        reference = checkDigest(chooseManifest(document).digest, 'a manifest');
      }
      const { config, layers } = manifestParts(document);
      const bytes = await this.document(`blobs/${config.digest}`);
      return {
        config: { bytes, digest: config.digest },
        givenBy: `${this.source.host}/${this.source.repository}`,
        layers: layers.map(({ digest }) => ({ digest, open: () => this.blob(digest) })),
        close: () => this.client.close(),
      };
    } catch (thrown) {
      this.client.close();
      throw thrown;
    }
  }

  private async document(path: string): Promise<Buffer> {
    return this.client.small(await this.get(path), OCI.documentMaxBytes, path);
  }

  private async blob(digest: string): Promise<Readable> {
    return (await this.get(`blobs/${digest}`)).body;
  }

  private async get(path: string): Promise<Answer> {
    const url = `${this.base}/${path}`;
    let answer = await this.request(url);
    if (answer.status === 401 && this.authorization === undefined) {
      answer.body.destroy();
      this.authorization = await this.login(String(answer.headers['www-authenticate'] ?? ''));
      answer = await this.request(url);
    }
    if (answer.status === 200) return answer;
    answer.body.destroy();
    const { host, repository } = this.source;
    throw new NemoError('NOT_FOUND', `${host} answers ${answer.status} for ${repository}/${path}`, {
      hint:
        answer.status === 401 || answer.status === 403
          ? 'registries.logins in the configuration of the agent names a docker config.json; or deploy a tar of the image'
          : 'check the name and the tag',
    });
  }

  private request(url: string): Promise<Answer> {
    return this.client.get(url, { accept: ACCEPT }, this.authorization);
  }

  /** What the registry asks for: the login itself, or a token from where it says that they are given. */
  private async login(challenge: string): Promise<string> {
    const { host, repository } = this.source;
    const login = loginFor(host, this.access.logins);
    if (/^basic /i.test(challenge) && login !== undefined) return login;
    const field = (name: string) => new RegExp(`\\b${name}="([^"]{0,2000})"`, 'i').exec(challenge)?.[1];
    const realm = field('realm');
    if (!/^bearer /i.test(challenge) || realm === undefined || !URL.canParse(realm)) {
      throw new NemoError('NOT_FOUND', `${host} asks for a login`, {
        hint: 'registries.logins in the configuration of the agent names a docker config.json; or deploy a tar of the image',
      });
    }
    const url = new URL(realm);
    url.searchParams.set('scope', field('scope') ?? `repository:${repository}:pull`);
    const service = field('service');
    if (service !== undefined) url.searchParams.set('service', service);
    const answer = await this.client.get(url.href, { accept: 'application/json' }, login);
    const document = parseJson(await this.client.small(answer, OCI.tokenMaxBytes, 'the token'), 'the token');
    const token = document.token ?? document.access_token;
    if (typeof token === 'string' && TOKEN.test(token)) return `Bearer ${token}`;
    throw new NemoError('NOT_FOUND', `${host} gave no token for ${repository}`, {
      hint: 'check the name; a private image needs registries.logins in the configuration of the agent',
    });
  }
}
