/**
 * Requests of one pull. Every hop is looked at before it is made: its URL by the rules, its addresses once for the whole
 * pull, and connections go to those addresses and no others. Time, bytes and hops are bounded; a login stays with the
 * host that it was for.
 */

import { lookup } from 'node:dns/promises';
import { isIP, type LookupFunction } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { Readable } from 'node:stream';
import { Agent, request } from 'undici';
import { NemoError } from '../model/errors.js';
import { OCI } from '../tunables/index.js';
import { badImage } from './faults.js';
import {
  isNamed,
  mayAsk,
  mayConnect,
  type RegistryAccess,
  type RegistryRule,
  ruleOf,
} from './registry-rules.js';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Readable;
}

export class RegistryClient {
  private readonly addresses = new Map<string, Promise<string[]>>();
  private readonly deadline = AbortSignal.timeout(OCI.fetchTimeoutMs);
  private readonly rule: RegistryRule | undefined;
  private readonly own = new Set(
    Object.values(networkInterfaces()).flatMap((all) => (all ?? []).map(({ address }) => address)),
  );
  private readonly agent: Agent;

  constructor(
    readonly registry: string,
    access: RegistryAccess,
  ) {
    this.rule = ruleOf(registry, access);
    const pinned: LookupFunction = (name, options, done) => {
      this.addressesOf(name).then(
        (all) => {
          // Each was looked at before the connection was asked for.
          const listed = all.map((address) => ({ address, family: isIP(address) }));
          if (options.all === true) done(null, listed);
          else done(null, listed[0]!.address, listed[0]!.family);
        },
        (error: NodeJS.ErrnoException) => done(error, [], 4),
      );
    };
    this.agent = new Agent({
      connect: { lookup: pinned, timeout: OCI.connectTimeoutMs },
      headersTimeout: OCI.answerTimeoutMs,
      bodyTimeout: OCI.answerTimeoutMs,
      maxHeaderSize: OCI.headersMaxBytes,
      connections: 2,
      pipelining: 1,
    });
  }

  get scheme(): 'http' | 'https' {
    return this.rule?.insecure === true ? 'http' : 'https';
  }

  /** GET, with redirects followed. `login` goes to the first host and port only. Throws NOT_FOUND. */
  async get(url: string, headers: Record<string, string>, login: string | undefined): Promise<Answer> {
    const first = this.checked(url);
    let to = first;
    for (let hops = 0; hops <= OCI.redirectsMax; hops++) {
      const authorization = to.origin === first.origin && login !== undefined ? { authorization: login } : {};
      const answer = await this.once(to, { ...headers, ...authorization });
      const { location } = answer.headers;
      if (![301, 302, 303, 307, 308].includes(answer.status) || typeof location !== 'string') return answer;
      answer.body.destroy();
      if (!URL.canParse(location, to.href)) throw this.refused();
      to = this.checked(new URL(location, to).href);
    }
    throw new NemoError('NOT_FOUND', `${this.registry} redirects without an end`, { hint: 'check the name' });
  }

  /** A whole body, at most `maxBytes`. */
  async small(answer: Answer, maxBytes: number, what: string): Promise<Buffer> {
    const parts: Buffer[] = [];
    let bytes = 0;
    for await (const part of answer.body as AsyncIterable<Buffer>) {
      bytes += part.length;
      if (bytes > maxBytes) throw badImage(`${what} of the image is too large`);
      parts.push(part);
    }
    return Buffer.concat(parts);
  }

  close(): void {
    this.agent.destroy().catch(() => {});
  }

  private checked(url: string): URL {
    const to = URL.canParse(url) ? new URL(url) : undefined;
    if (to === undefined || !mayAsk(to, this.registry, this.rule)) throw this.refused();
    return to;
  }

  private async once(to: URL, headers: Record<string, string>): Promise<Answer> {
    const addresses = await this.addressesOf(to.hostname.replace(/^\[|\]$/g, ''));
    // What the operator said of a registry holds for this host and port, not for others that it sends to.
    const rule = isNamed(to, this.registry, this.rule) ? this.rule : undefined;
    if (addresses.length === 0 || !addresses.every((one) => mayConnect(one, rule, this.own)))
      throw unreachable(this.registry);
    try {
      const options = { dispatcher: this.agent, headers, signal: this.deadline };
      const { statusCode, headers: answered, body } = await request(to.href, options);
      body.on('error', () => {});
      return { status: statusCode, headers: answered, body };
    } catch (thrown) {
      throw unreachable(this.registry, (thrown as NodeJS.ErrnoException).code);
    }
  }

  /** Resolved once for the whole pull. */
  private addressesOf(name: string): Promise<string[]> {
    let known = this.addresses.get(name);
    if (known === undefined) {
      known =
        isIP(name) === 0
          ? lookup(name, { all: true }).then(
              (all) => all.map(({ address }) => address),
              () => [],
            )
          : Promise.resolve([name]);
      this.addresses.set(name, known);
    }
    return known;
  }

  private refused(): NemoError {
    return new NemoError('BAD_FUNCTION', `${this.registry} sends to a host that it may not send to`, {
      hint: 'name that host in `follow` of the registry, in the configuration of the agent',
    });
  }
}

/** The same words for a name without an address and one whose address is not for callers. */
function unreachable(registry: string, code?: string): NemoError {
  const why = code === undefined ? 'it has no address that images may come from' : `no answer (${code})`;
  return new NemoError('NOT_FOUND', `the registry ${registry} cannot be asked: ${why}`, {
    hint: 'check its name; one in a private network has to be named by registries.hosts in the configuration of the agent',
  });
}
