/**
 * `/function/<function>` and below: any method, any body, never parsed. This is the hot path: it runs before fastify
 * sees the request, makes no promise, and touches the body only where there is one.
 */

import { randomBytes } from 'node:crypto';
import { asNemoError, NemoError } from '../../model/errors.js';
import type { FunctionSpec } from '../../model/function.js';
import { functionNamed } from '../../model/function-named.js';
import type { Platform } from '../../model/platform.js';
import type { Api } from '../api.js';
import { askedTimeoutMs } from '../asked-timeout.js';
import { bodyTooLarge, collectBody, cutLongUpload } from '../body.js';
import type { Callers } from '../callers.js';
import { sendError } from '../error-reply.js';
import { requestHeaders } from '../headers.js';
import type { Shares } from '../shares.js';
import { takeTraceContext } from '../trace-context.js';
import { type CallPlace, CallReply } from './call-reply.js';

const INVOKE_PREFIX = '/function/';

export interface InvokeOptions {
  /** Bodies of all requests that are not answered yet. */
  bodies: Shares;
  bodyMaxBytes: number;
  callers: Callers;
  /** True once the gateway closes: new calls get STOPPING. */
  stopping(): boolean;
}

const NO_BODY = Buffer.alloc(0);
const CALL_ID = /^[\w.:/+=@-]{1,128}$/;

export function nativeApi(platform: Platform, options: InvokeOptions): Api {
  const { bodyMaxBytes, bodies, callers } = options;
  const sharedPlace: CallPlace = { bodies, shared: true };
  const ownPlace: CallPlace = { bodies, shared: false };
  // Unique without a random number a call: the process's own prefix and a count.
  const callIdPrefix = `${randomBytes(6).toString('hex')}-`;
  let calls = 0;

  const handle: Api['handle'] = (request, response, { shared }) => {
    const headers = requestHeaders(request.rawHeaders);
    const traceparent = takeTraceContext(headers);
    const deadlineMs = performance.now() + askedTimeoutMs(headers);
    const given = headers['x-call-id'];
    const callId = given !== undefined && CALL_ID.test(given) ? given : callIdPrefix + (++calls).toString(36);
    const caller = callers.of(request.socket);
    const { client: principal } = caller;
    const url = request.url!;
    const queryAt = url.indexOf('?');
    const pathEnd = queryAt === -1 ? url.length : queryAt;
    const slash = url.indexOf('/', INVOKE_PREFIX.length);
    const nameEnd = slash === -1 || slash > pathEnd ? pathEnd : slash;
    const text = url.slice(INVOKE_PREFIX.length, nameEnd);
    const refuse = (functionKey: string, error: NemoError): void => {
      sendError(response, error, ['X-Call-Id', callId]);
      platform.refused(functionKey, { callId, principal, mode: 'sync' }, error);
    };

    if (options.stopping()) return refuse(text, stoppingError());
    // One look-up for what callers usually write, which is a key.
    const found = platform.registry.get(text) ?? otherwiseNamed(platform, text);
    if (found instanceof NemoError) return refuse(text, found);
    const { ref } = found;
    if (nameEnd === pathEnd && headers['service-worker'] !== undefined) {
      return refuse(ref.key, tooWide(text));
    }
    const declared = headers['content-length'];
    if (declared !== undefined && Number(declared) > bodyMaxBytes) {
      cutLongUpload(request);
      return refuse(ref.key, bodyTooLarge(bodyMaxBytes));
    }

    const run = (body: Buffer): void => {
      platform.invoke(
        {
          callId,
          ref,
          method: request.method!,
          path: nameEnd === pathEnd ? '/' : url.slice(nameEnd, pathEnd),
          query: queryAt === -1 ? '' : url.slice(queryAt + 1),
          headers,
          body,
          principal,
          mode: 'sync',
          deadlineMs,
          traceparent,
        },
        new CallReply(response, ref.key, callId, shared ? sharedPlace : ownPlace, caller, body.length),
      );
    };

    const hasBody = declared === undefined ? isChunked(request.rawHeaders) : declared !== '0';
    if (!hasBody) return run(NO_BODY);
    collectBody(request, declared === undefined ? undefined : Number(declared), bodyMaxBytes, bodies, {
      onBody: run,
      onRefused: (error) => refuse(ref.key, error),
    });
  };
  return { prefix: INVOKE_PREFIX, handle };
}

/** Looked up in the raw list: `request.headers` would build a second record of all of them. */
function isChunked(rawHeaders: readonly string[]): boolean {
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    if (name.length === 17 && name.toLowerCase() === 'transfer-encoding') return true;
  }
  return false;
}

/** Of a path, only the two characters are decoded that no name has: each function has one way to be written. */
function otherwiseNamed({ registry }: Platform, inPath: string): FunctionSpec | NemoError {
  try {
    return functionNamed(registry, inPath.replace(/%2f/i, '/').replace(/%3a/i, ':'));
  } catch (thrown) {
    return asNemoError(thrown);
  }
}

/** A service worker controls what is below the folder of its script: here, the pages of all functions. */
function tooWide(name: string): NemoError {
  return new NemoError('BAD_REQUEST', `a service worker at /function/${name} would control other functions`, {
    hint: `serve its script below /function/${name}/`,
  });
}

export function stoppingError(): NemoError {
  return new NemoError('STOPPING', 'the agent is stopping', { hint: 'try again when it is back' });
}
