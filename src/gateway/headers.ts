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

/**
 * What a function cannot say in its answer: `never`, because it is the gateway's to say, or works beyond the
 * function on whatever origin; `shared`, because on the origin of API and console it would act on these.
 */
const KEPT_BACK = new Map<string, 'never' | 'shared'>([
  ...[...HOP_BY_HOP].map((name) => [name, 'never'] as const),
  // The gateway's own words.
  ['content-length', 'never'],
  ['date', 'never'],
  ['x-call-id', 'never'],
  ['x-duration-seconds', 'never'],
  ['x-nemo-start', 'never'],
  ['x-nemo-error', 'never'],
  // Of every port of the host: its other servers would be reached no more, or by https alone.
  ['strict-transport-security', 'never'],
  ['public-key-pins', 'never'],
  ['public-key-pins-report-only', 'never'],
  ['expect-ct', 'never'],
  // Of the whole origin, which functions share: another's data, another's pages, another's address.
  ['clear-site-data', 'never'],
  ['service-worker-allowed', 'never'],
  ['alt-svc', 'never'],
  ['nel', 'never'],
  ['report-to', 'never'],
  ['origin-agent-cluster', 'never'],
  // Cookies know no ports, and a login is for a whole origin.
  ['set-cookie', 'shared'],
  ['www-authenticate', 'shared'],
  // The last of several policies says what a sandbox allows: there is only the gateway's.
  ['content-security-policy', 'shared'],
  ['content-security-policy-report-only', 'shared'],
  ['reporting-endpoints', 'shared'],
  ['cross-origin-embedder-policy', 'shared'],
  ['cross-origin-embedder-policy-report-only', 'shared'],
  ['cross-origin-opener-policy', 'shared'],
  ['cross-origin-opener-policy-report-only', 'shared'],
  ['cross-origin-resource-policy', 'shared'],
  // Who may read the answer is said by the operator (http.allowedOrigins).
  ['access-control-allow-credentials', 'shared'],
  ['access-control-allow-headers', 'shared'],
  ['access-control-allow-methods', 'shared'],
  ['access-control-allow-origin', 'shared'],
  ['access-control-allow-private-network', 'shared'],
  ['access-control-expose-headers', 'shared'],
  ['access-control-max-age', 'shared'],
  ['timing-allow-origin', 'shared'],
  // Loads and goes elsewhere without the page.
  ['link', 'shared'],
  ['refresh', 'shared'],
  ['speculation-rules', 'shared'],
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

/**
 * The function's headers as node's `writeHead` takes them fastest: one flat list. `shared`: on the origin of API and
 * console, where an answer comes sandboxed.
 */
export function appendReplyHeaders(flat: string[], headers: Record<string, string>, shared: boolean): void {
  // A page of an origin of its own, without scripts.
  if (shared) flat.push('Content-Security-Policy', 'sandbox');
  for (const name in headers) {
    const lower = name.toLowerCase();
    const kept = KEPT_BACK.get(lower);
    if (kept !== undefined && (shared || kept === 'never')) continue;
    const value = headers[name]!;
    if (lower === 'set-cookie') for (const cookie of value.split('\n')) flat.push(name, cookie);
    else flat.push(name, value);
  }
}

/** What the agent itself says of a call (its id, its deadline, its trigger) nobody else says in its place. */
const OWN_PREFIX = 'x-nemo-';

function rememberName(raw: string): string {
  const lower = raw.toLowerCase();
  // What was expected has been answered by the gateway.
  const dropped = HOP_BY_HOP.has(lower) || lower === 'expect' || lower.startsWith(OWN_PREFIX);
  const name = dropped ? '' : lower;
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
