/**
 * W3C Trace Context (https://www.w3.org/TR/trace-context-1/) on its way to a function. The gateway is what the standard calls
 * a pass-through service: what is valid goes on as it came, and what is not goes nowhere, so that the function begins a
 * trace of its own. Valid is also short, so what is kept of a call is.
 */

import type { TraceParent } from '../model/call.js';

/** Version, trace-id, parent-id, trace-flags; of a later version maybe more behind a dash. */
const TRACEPARENT =
  /^(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?$/;
const CURRENT = '00';
/** Of a later version: the standard lets headers that are much too long be refused. */
const LENGTH_MAX = 512;

const KEY = /^(?:[a-z0-9][a-z0-9_*/-]{0,255}|[a-z0-9][a-z0-9_*/-]{0,240}@[a-z][a-z0-9_*/-]{0,13})$/;
const VALUE = /^[\x20-\x2b\x2d-\x3c\x3e-\x7e]{0,255}[\x21-\x2b\x2d-\x3c\x3e-\x7e]$/;
const MEMBERS_MAX = 32;

/** Takes away what is not valid. `headers` as `requestHeaders` gives them. */
export function takeTraceContext(headers: Record<string, string>): TraceParent | undefined {
  const { traceparent, tracestate } = headers;
  if (traceparent === undefined && tracestate === undefined) return undefined;
  const parent = traceparent === undefined ? undefined : parse(traceparent);
  if (traceparent !== undefined && parent === undefined) delete headers.traceparent;
  if (tracestate !== undefined && !(parent !== undefined && isTracestate(tracestate)))
    delete headers.tracestate;
  return parent;
}

function parse(text: string): TraceParent | undefined {
  const match = text.length > LENGTH_MAX ? null : TRACEPARENT.exec(text);
  if (match === null) return undefined;
  const [, version, traceId, parentId, flags, more] = match;
  if (version === CURRENT && more !== undefined) return undefined;
  return { text, traceId: traceId!, parentId: parentId!, flags: Number.parseInt(flags!, 16) };
}

/** A pattern would look at each run of blanks again from each of its characters. */
function withoutBlanks(text: string): string {
  let from = 0;
  let to = text.length;
  while (from < to && (text[from] === ' ' || text[from] === '\t')) from++;
  while (to > from && (text[to - 1] === ' ' || text[to - 1] === '\t')) to--;
  return text.slice(from, to);
}

/** One field that came in several has been joined already. */
function isTracestate(value: string): boolean {
  const keys = new Set<string>();
  for (const text of value.split(',')) {
    // Blanks around it are none of it, and an empty one is allowed.
    const member = withoutBlanks(text);
    if (member === '') continue;
    const equals = member.indexOf('=');
    const key = member.slice(0, Math.max(0, equals));
    if (!KEY.test(key) || !VALUE.test(member.slice(equals + 1)) || keys.has(key)) return false;
    keys.add(key);
  }
  return keys.size <= MEMBERS_MAX;
}
