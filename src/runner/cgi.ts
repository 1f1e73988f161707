/** A request as CGI tells it (RFC 3875), with what of it has a meaning here. */

import type { CallContext } from './event.js';

const PLAIN_NAME = /^[A-Za-z0-9-]+$/;

/** `bodyBytes`: of the body as the program gets it, whatever length its caller told. */
export function requestEnvironment(
  { callId, method, path, query, headers }: CallContext,
  bodyBytes: number,
): Record<string, string> {
  const told: Record<string, string> = {
    REQUEST_METHOD: method,
    PATH_INFO: path,
    QUERY_STRING: query,
    CALL_ID: callId,
  };
  for (const [name, value] of Object.entries(headers)) {
    // `x_user` would stand for `x-user`, which a proxy in front may have set. As nginx does, it is not told.
    if (!PLAIN_NAME.test(name)) continue;
    const key = name.toUpperCase().replaceAll('-', '_');
    // HTTP_PROXY is where programs take their proxy from: not the caller's to choose (https://httpoxy.org).
    if (key === 'PROXY' || key === 'CONTENT_LENGTH') continue;
    told[key === 'CONTENT_TYPE' ? key : `HTTP_${key}`] = value;
  }
  if (bodyBytes > 0) told.CONTENT_LENGTH = `${bodyBytes}`;
  return told;
}
