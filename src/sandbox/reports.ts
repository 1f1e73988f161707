/**
 * What a runner reports in a frame, which the function can forge: the head of an answer, an error, an object. Each has
 * a form and bounds; a head of another form is refused, and an error of another form has no message.
 */

import { BodyKind, utf8 } from '../runner/frames.js';
import { parseObject } from '../streams/json.js';
import { startOf } from '../streams/own-text.js';
import { CHANNEL } from '../tunables/index.js';

const CONTENT_TYPES: Record<number, string> = {
  [BodyKind.text]: 'text/plain; charset=utf-8',
  [BodyKind.json]: 'application/json',
  [BodyKind.bytes]: 'application/octet-stream',
};

export function headersOf(kind: number, body: Buffer): Record<string, string> {
  const type = CONTENT_TYPES[kind];
  const length = `${body.length}`;
  return type === undefined
    ? { 'content-length': length }
    : { 'content-type': type, 'content-length': length };
}

const HEADER_NAME = /^[-!#$%&'*+.^_`|~0-9a-zA-Z]{1,200}$/;
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what a header value must not contain
const HEADER_VALUE = /^[^\u0000-\u0008\u000a-\u001f\u007f\u0100-\uffff]*$/;
/** They apply to one connection; the gateway's connection is not the function's. */
export const HOP_BY_HOP: ReadonlySet<string> = new Set([
  'connection',
  'keep-alive',
  'transfer-encoding',
  'upgrade',
  'trailer',
  'te',
]);

export function isStatus(status: number): boolean {
  return status >= 200 && status <= 599;
}

/** Undefined if it is not an object of valid header texts. */
export function parseHeaders(meta: Buffer): Record<string, string> | undefined {
  const parsed = parseObject(utf8(meta), CHANNEL.told);
  return parsed === undefined ? undefined : checkHeaders(parsed);
}

/** Names in lower case, without those of one connection. Undefined if one is not a header, or all are too much. */
export function checkHeaders(told: Record<string, unknown>): Record<string, string> | undefined {
  const entries = Object.entries(told);
  const headers: Record<string, string> = {};
  let count = 0;
  let chars = 0;
  for (const [given, value] of entries) {
    if (typeof value !== 'string' || !HEADER_NAME.test(given)) return undefined;
    const name = given.toLowerCase();
    chars += name.length + value.length;
    // The one header that may come several times: its values are joined by newlines.
    const cookies = name === 'set-cookie' ? value.split('\n') : undefined;
    count += cookies?.length ?? 1;
    if (count > CHANNEL.headersMax || !HEADER_VALUE.test(cookies?.join(' ') ?? value)) return undefined;
    if (name !== '__proto__' && !HOP_BY_HOP.has(name)) headers[name] = value;
  }
  return chars > CHANNEL.headersMaxBytes ? undefined : headers;
}

export function parseErrorReport(meta: Buffer): {
  code: string;
  name: string;
  message: string;
  stack: string;
} {
  const within = meta.length <= CHANNEL.errorMaxBytes;
  const parsed = (within ? parseObject(utf8(meta), CHANNEL.told) : undefined) ?? {};
  const text = (key: string, most: number) => {
    const value = parsed[key];
    return typeof value === 'string' ? startOf(value, most) : '';
  };
  return {
    code: text('code', 40),
    name: text('name', 200) || 'Error',
    message: text('message', 4000),
    stack: ownFrames(text('stack', 4000)),
  };
}

/** A stack without the frames of the runner, which do not help the author of the function. */
function ownFrames(stack: string): string {
  return stack
    .split('\n')
    .filter((line) => !/^\s+at .*file:\/\/\/runner\//.test(line))
    .join('\n');
}
