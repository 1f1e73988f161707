/**
 * The forms of a request's target (RFC 9112, 3.2). Whatever form it came in, what looks at a request afterwards finds
 * a path in `url` and the host that is meant in `Host`: no form goes by a bound, the guard or a route.
 */

import type { IncomingMessage } from 'node:http';

const SLASH = 47;
const ABSOLUTE = /^https?:\/\/([^/?#]*)([^#]*)$/i;
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[^:[\]\s@/,"'<>\\]+)(:\d{0,5})?$/i;

/** A host with or without a port. */
export function isAuthority(text: string | undefined): boolean {
  return text !== undefined && AUTHORITY.test(text);
}

/**
 * False if the target names nothing here. An absolute one (`GET http://host/path`, from proxies) becomes its path, and
 * its host replaces what `Host` said (RFC 9112, 3.2.2).
 */
export function takeTarget(request: IncomingMessage): boolean {
  const url = request.url!;
  if (url.charCodeAt(0) === SLASH) return true;
  const match = ABSOLUTE.exec(url);
  if (match === null) return false;
  const [, authority, rest] = match as unknown as [string, string, string];
  if (!isAuthority(authority)) return false;
  request.url = rest.charCodeAt(0) === SLASH ? rest : `/${rest}`;
  const { rawHeaders, headers } = request;
  const at = rawHeaders.findIndex((name, i) => i % 2 === 0 && name.toLowerCase() === 'host');
  if (at === -1) rawHeaders.push('Host', authority);
  else rawHeaders[at + 1] = authority;
  headers.host = authority;
  return true;
}
