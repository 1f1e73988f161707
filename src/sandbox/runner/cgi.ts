/** A request as CGI tells it (RFC 3875), with what of it has a meaning here. */

import type { CallContext } from './event.js';

export function requestEnvironment({
  callId,
  method,
  path,
  query,
  headers,
}: CallContext): Record<string, string> {
  const told: Record<string, string> = {
    REQUEST_METHOD: method,
    PATH_INFO: path,
    QUERY_STRING: query,
    CALL_ID: callId,
  };
  for (const [name, value] of Object.entries(headers)) {
    const key = name.toUpperCase().replace(/[^A-Z0-9]/g, '_');
    // HTTP_PROXY is where programs take their proxy from: not the caller's to choose (https://httpoxy.org).
    if (key === 'PROXY') continue;
    told[key === 'CONTENT_TYPE' ? key : `HTTP_${key}`] = value;
  }
  return told;
}
