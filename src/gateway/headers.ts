/**
 * Headers on their way through the gateway. Hop-by-hop ones (RFC 9110, 7.6.1) belong to one connection and go
 * neither in nor out. Runs on every call, so raw names are lowered once and remembered.
 */

/** Gone in both directions. */
const HOP_BY_HOP = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'proxy-authenticate',
  'proxy-authorization',
  'te',
  'trailer',
  'transfer-encoding',
  'upgrade',
]);

/** What the gateway itself says about an answer; a function cannot say it. */
const GATEWAYS_OWN = new Set([
  'content-length',
  'date',
  'x-call-id',
  'x-duration-seconds',
  'x-nemo-start',
  'x-nemo-error',
]);

const REMEMBERED_MAX = 1_024;
/** Raw name -> lower-case name, or '' for one that is dropped. */
const requestNames = new Map<string, string>();

/** A record without inherited names; unlike Object.create(null) it keeps fast properties. */
const HeaderRecord = function HeaderRecord() {} as unknown as new () => Record<string, string>;
HeaderRecord.prototype = Object.create(null);

/** `rawHeaders` as node gives them: name, value, name, value ... Repeated ones are joined as RFC 9110 says. */
export function requestHeaders(rawHeaders: readonly string[]): Record<string, string> {
  const headers = new HeaderRecord();
  let listed = '';
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const raw = rawHeaders[i]!;
    const value = rawHeaders[i + 1]!;
    const name = requestNames.get(raw) ?? rememberName(raw);
    if (name === '') {
      const ordinary = value === 'keep-alive' || value === 'close';
      if (!ordinary && raw.toLowerCase() === 'connection') listed = value;
      continue;
    }
    const before = headers[name];
    headers[name] = before === undefined ? value : joined(name, before, value);
  }
  if (listed !== '') dropListed(headers, listed);
  return headers;
}

/** The function's headers as node's `writeHead` takes them fastest: one flat list. */
export function appendReplyHeaders(flat: string[], headers: Record<string, string>): void {
  for (const name in headers) {
    const lower = name.toLowerCase();
    if (HOP_BY_HOP.has(lower) || GATEWAYS_OWN.has(lower)) continue;
    const value = headers[name]!;
    if (lower === 'set-cookie') for (const cookie of value.split('\n')) flat.push(name, cookie);
    else flat.push(name, value);
  }
}

function rememberName(raw: string): string {
  const lower = raw.toLowerCase();
  const name = HOP_BY_HOP.has(lower) ? '' : lower;
  if (requestNames.size >= REMEMBERED_MAX) requestNames.clear();
  requestNames.set(raw, name);
  return name;
}

/** A second Host or Content-Length was refused by the parser already; a second Authorization is ignored. */
function joined(name: string, before: string, value: string): string {
  if (name === 'cookie') return `${before}; ${value}`;
  if (name === 'authorization' || name === 'content-type' || name === 'user-agent') return before;
  return `${before}, ${value}`;
}

/** `Connection: close, x-mine` makes x-mine hop-by-hop too. */
function dropListed(headers: Record<string, string>, connection: string): void {
  for (const token of connection.split(',')) {
    const name = token.trim().toLowerCase();
    if (name !== 'host' && name !== 'content-type') delete headers[name];
  }
}
