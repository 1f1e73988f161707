/**
 * Who may talk to the agent: a web page of somebody else must not, even though it runs on this machine's browser.
 * A rebound DNS name shows in `Host`, a foreign page in `Origin`. Programs that are not browsers send no Origin.
 */

import { isIP } from 'node:net';
import { NemoError } from '../errors.js';

/** Values of Host seen lately and the verdict; a client repeats itself. */
const REMEMBERED_MAX = 256;

export class Guard {
  private readonly names: ReadonlySet<string>;
  private readonly anyAddress: boolean;
  private readonly verdicts = new Map<string, boolean>();

  /**
   * `host`: where the gateway listens. On a wildcard address every literal address is a right one, because a
   * rebound name is never literal. `allowedHosts`: further names, without a port.
   */
  constructor(host: string, allowedHosts: readonly string[]) {
    this.anyAddress = host === '0.0.0.0' || host === '::';
    this.names = new Set(
      ['localhost', '127.0.0.1', '::1', host, ...allowedHosts].map((name) => bare(name.toLowerCase())),
    );
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

  /** True for no Origin, for the page that this very gateway served, and for configured names. */
  originAllowed(origin: string | undefined, host: string | undefined): boolean {
    if (origin === undefined) return true;
    const match = /^https?:\/\/([^/]+)$/i.exec(origin);
    if (match === null || host === undefined) return false;
    const authority = match[1]!.toLowerCase();
    if (authority === host.toLowerCase()) return true;
    const name = hostnameOf(authority);
    // Another port of localhost is another program: only names that were configured are trusted whole.
    return name !== undefined && this.names.has(name) && !isLoopbackName(name);
  }
}

export function foreignHost(host: string | undefined): NemoError {
  return new NemoError(
    'BAD_REQUEST',
    `this agent does not answer to the name '${(host ?? '').slice(0, 80)}'`,
    {
      hint: 'call it by its address, or add the name to allowedHosts in the configuration',
    },
  );
}

export function foreignOrigin(origin: string | undefined): NemoError {
  return new NemoError('BAD_REQUEST', `a page of ${(origin ?? '').slice(0, 80)} may not change this agent`, {
    hint: 'add the host of the page to allowedHosts in the configuration if it is yours',
  });
}

/** HTTP status of both refusals: the request is well-formed, it is the asker who is wrong. */
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
  return match === null ? undefined : bare(match[1]!.toLowerCase());
}

function bare(name: string): string {
  return name.startsWith('[') && name.endsWith(']') ? name.slice(1, -1) : name;
}
