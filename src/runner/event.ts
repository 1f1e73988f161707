/**
 * What a function is called with: `event` (the body, decoded by its content type) and `context`.
 * Built before the function sees anything; everything it needs is captured before function code is loaded.
 */

import type { Buffer } from 'node:buffer';
import { performance } from 'node:perf_hooks';
import { BadBody, isJson, isText, namesCharset, textOf, unpackBody } from './body-text.js';
import { uncurry } from './primordials.js';

const parseJson = JSON.parse;
const now = performance.now.bind(performance);
const wallClock = Date.now;
const NativeAbortController = AbortController;
const abort = uncurry(AbortController.prototype.abort) as (controller: AbortController) => void;
const startTimer = setTimeout;

/** What the agent sends beside the body of a call. */
export interface CallMeta {
  callId: string;
  method: string;
  path: string;
  query: string;
  headers: Record<string, string>;
}

export class CallContext {
  /** `name`, or `namespace/name` outside of the default namespace. */
  readonly functionName: string;
  readonly callId: string;
  readonly method: string;
  readonly path: string;
  /** Raw, without `?`. */
  readonly query: string;
  readonly headers: Record<string, string>;
  /** Milliseconds since the epoch at which the call is ended from outside. */
  readonly deadlineMs: number;
  readonly #deadline: number;
  #controller: AbortController | undefined;
  #left = false;
  #whenLeft: (() => void) | undefined;

  constructor(functionName: string, meta: CallMeta, remainingMs: number) {
    this.functionName = functionName;
    this.callId = meta.callId;
    this.method = meta.method;
    this.path = meta.path;
    this.query = meta.query;
    this.headers = meta.headers;
    this.deadlineMs = wallClock() + remainingMs;
    this.#deadline = now() + remainingMs;
  }

  remainingTimeMs(): number {
    return Math.max(0, this.#deadline - now());
  }

  /** Aborts at the deadline, or when the caller leaves. Made when it is first asked for: most functions never do. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new NativeAbortController();
      this.#controller = controller;
      if (this.#left) abort(controller);
      startTimer(() => abort(controller), this.remainingTimeMs()).unref();
    }
    return this.#controller.signal;
  }

  /** Unlike `signal` it says nothing at the deadline, and costs no timer. Undefined: nobody wants to know any more. */
  static whenCallerLeaves(context: CallContext, then: (() => void) | undefined): void {
    context.#whenLeft = then;
    if (context.#left) then?.();
  }

  static callerLeft(context: CallContext): void {
    context.#left = true;
    context.#whenLeft?.();
    if (context.#controller !== undefined) abort(context.#controller);
  }
}

/**
 * Shape: null without a body, parsed JSON, string for text types, otherwise the bytes. What is packed or written in a
 * way that nobody here knows is handed on as bytes, whatever its type. Throws BadBody, BadReply for too much.
 */
export function decodeEvent(headers: Record<string, string>, packed: Buffer): unknown {
  if (packed.length === 0) return null;
  const type = headers['content-type'];
  const json = isJson(type);
  if (!json && !isText(type)) return packed;
  const body = unpackBody(headers, packed);
  if (body.length === 0) return null;
  if (headers['content-encoding'] !== undefined) return body;
  const text = textOf(type!, body);
  if (!json) return text ?? body;
  if (text === undefined) {
    if (namesCharset(type!)) return body;
    throw new BadBody('the body is not valid JSON: it is not UTF-8');
  }
  try {
    return parseJson(text);
  } catch (error) {
    throw new BadBody(`the body is not valid JSON: ${(error as Error).message}`);
  }
}

/** The web Request for fetch style functions: `json()`, `text()` and `formData()` know nothing of codings. Throws as above. */
export function toRequest(context: CallContext, packed: Buffer): Request {
  const body = unpackBody(context.headers, packed);
  const host = context.headers.host ?? 'function.invalid';
  const url = `http://${host}${context.path}${context.query === '' ? '' : `?${context.query}`}`;
  const headers = new Headers();
  for (const name of Object.keys(context.headers)) {
    try {
      headers.append(name, context.headers[name]!);
    } catch {
      // A name or value that the fetch standard forbids: the function could not read it anyway.
    }
  }
  const bodiless = context.method === 'GET' || context.method === 'HEAD' || body.length === 0;
  return new Request(URL.canParse(url) ? url : `http://function.invalid${context.path}`, {
    method: context.method,
    headers,
    signal: context.signal,
    ...(bodiless ? {} : { body: body as unknown as Uint8Array<ArrayBuffer> }),
  });
}
