/**
 * Who may talk to the agent: a web page of somebody else must not, even though it runs in this machine's browser. A
 * rebound DNS name shows in `Host`, a foreign page in `Origin` and `Sec-Fetch-Site`. A browser that says neither
 * (plain http to another machine, an image) is not believed; programs that are no browsers send none of it.
 */

import { isIP } from 'node:net';
import { NemoError } from '../model/errors.js';
import { isProgram, type RequestSource } from './request-source.js';

/** Values of Host seen lately and the verdict; a client repeats itself. */
const REMEMBERED_MAX = 256;

/** What is asked for: the console's files, the API, a function on the agent's own origin. */
export type Area = 'console' | 'api' | 'function';

export interface GuardOptions {
  /** Where the gateway listens. On a wildcard address every literal address is right: a rebound name is never one. */
  host: string;
  /** Further names, without ports. A page of such a name on port 80 or 443 is the agent's own: a proxy may stand before it. */
  allowedHosts?: readonly string[];
  /** Pages that may use API and functions, as browsers write them: `https://shop.example`. */
  allowedOrigins?: readonly string[];
  /** Where functions have an origin of their own: nothing but functions answers to this name. */
  functionsHost?: string;
}

export class Guard {
  private readonly names: ReadonlySet<string>;
  /** Those that were configured. */
  private readonly configured: ReadonlySet<string>;
  private readonly origins: ReadonlySet<string>;
  private readonly functionsHost: string | undefined;
  private readonly anyAddress: boolean;
  private readonly verdicts = new Map<string, boolean>();

  constructor({ host, allowedHosts = [], allowedOrigins = [], functionsHost }: GuardOptions) {
    this.anyAddress = host === '0.0.0.0' || host === '::';
    const names = ['localhost', '127.0.0.1', '::1', host, ...allowedHosts];
    this.functionsHost = functionsHost && plain(functionsHost);
    if (this.functionsHost !== undefined) names.push(this.functionsHost);
    this.names = new Set(names.map(plain));
    this.configured = new Set(allowedHosts.map(plain));
    this.origins = new Set(allowedOrigins.map((origin) => origin.toLowerCase()));
  }

  hostAllowed(host: string | undefined): boolean {
    if (host === undefined) return false;
    const known = this.verdicts.get(host);
    if (known !== undefined) return known;
    const name = hostnameOf(host);
    const allowed = name !== undefined && (this.names.has(name) || (this.anyAddress && isIP(name) !== 0));
    if (this.verdicts.size >= REMEMBERED_MAX) this.verdicts.clear();
    this.verdicts.set(host, allowed);
    return allowed;
  }

  /** The name that only functions answer to. */
  isFunctionsHost(host: string | undefined): boolean {
    return this.functionsHost !== undefined && host !== undefined && hostnameOf(host) === this.functionsHost;
  }

  /** A page that was configured by its origin: it may read answers too. */
  originGranted(origin: string): boolean {
    return this.origins.has(origin.toLowerCase());
  }

  /** True for no Origin, for the page that this very gateway served, and for configured ones. */
  originAllowed(origin: string | undefined, host: string | undefined): boolean {
    if (origin === undefined) return true;
    if (this.originGranted(origin)) return true;
    const match = /^http(s?):\/\/([^/]+)$/i.exec(origin);
    if (match === null || host === undefined) return false;
    const authority = match[2]!.toLowerCase();
    // Without a port, https is port 443, and a Host without one is port 80: another program.
    const samePort = match[1] === '' || /:\d+$/.test(authority);
    if (samePort && authority === host.toLowerCase()) return true;
    // Another port is another program, also of this box: port 80 and 443 only of names that the operator gave the agent.
    const name = plain(authority);
    return this.configured.has(name) && !isLoopbackName(name) && name !== this.functionsHost;
  }

  /** Why this must not be answered, on the origin of API and console; undefined: it may. */
  refusal(asker: RequestSource, method: string, area: Area): NemoError | undefined {
    if (isProgram(asker)) return undefined;
    const { origin, site, dest, host, asked } = asker;
    if (!this.originAllowed(origin, host)) return foreignPage(origin!);
    // Anybody may look at the console's files, which are the same for everybody, and follow a link to it.
    if (area === 'console' && !changesState(method)) return undefined;
    if (area === 'api' && changesState(method) && !asked) return headerMissing();
    if (origin !== undefined || asked) return undefined;
    if (site !== 'same-origin' && site !== 'none') return foreignPage(site ?? 'an origin that is not told');
    // What a function answers must never become a part of the console: a script, a style, a service worker.
    const alone = dest === undefined || dest === 'document' || dest === 'empty';
    return area === 'function' && !alone ? notEmbedded(dest) : undefined;
  }
}

export function foreignHost(host: string | undefined): NemoError {
  return new NemoError(
    'BAD_REQUEST',
    `this agent does not answer to the name '${(host ?? '').slice(0, 80)}'`,
    {
      hint: 'call it by its address, or add the name to http.allowedHosts in the configuration',
    },
  );
}

export function foreignPage(origin: string): NemoError {
  return new NemoError('BAD_REQUEST', `a page of ${origin.slice(0, 80)} may not use this agent`, {
    hint: 'add its origin to http.allowedOrigins in the configuration if it is yours, or give functions an origin of their own: http.functionsPort',
  });
}

function headerMissing(): NemoError {
  return new NemoError('BAD_REQUEST', 'a browser changes nothing here without the header X-Nemo-Request', {
    hint: 'send X-Nemo-Request: 1',
  });
}

function notEmbedded(dest: string): NemoError {
  return new NemoError(
    'BAD_REQUEST',
    `a function's answer is not used as ${dest.slice(0, 40)} on this origin`,
    {
      hint: 'give functions an origin of their own: http.functionsPort in the configuration',
    },
  );
}

/** HTTP status of the refusals: the request is well-formed, it is the asker who is wrong. */
export const FOREIGN_STATUS = 403;

export function changesState(method: string): boolean {
  return method !== 'GET' && method !== 'HEAD' && method !== 'OPTIONS';
}

function isLoopbackName(name: string): boolean {
  return name === 'localhost' || name === '127.0.0.1' || name === '::1';
}

/** Host without its port, lower case, IPv6 without brackets; undefined if it is no host. */
function hostnameOf(host: string): string | undefined {
  const match = /^(\[[0-9a-f:.]+\]|[^:[\]\s]+)(?::\d{1,5})?$/i.exec(host);
  return match === null ? undefined : plain(match[1]!);
}

/** Lower case, IPv6 without brackets, a name without the dot that only says that it is whole. */
function plain(name: string): string {
  const lower = name.toLowerCase();
  if (lower.startsWith('[') && lower.endsWith(']')) return lower.slice(1, -1);
  return lower.endsWith('.') && lower.length > 1 ? lower.slice(0, -1) : lower;
}
