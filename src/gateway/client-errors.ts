/** What node's parser refuses, in the words of every other error and with the status that RFC 9110 has for it. */

import { METHODS } from 'node:http';
import type { Duplex } from 'node:stream';
import { NemoError } from '../model/errors.js';
import { GATEWAY_HTTP } from '../tunables/index.js';
import { afterAnswers } from './answers-before.js';
import { rawErrorReply } from './error-reply.js';

/** Of node, which gives more than its types say. */
interface ParseError extends NodeJS.ErrnoException {
  /** What came last from the client, and how much of it was understood. */
  rawPacket?: unknown;
  bytesParsed?: number | undefined;
}

type Refusal = [status: number, reason: string, message: string];

export function onClientError(error: ParseError, socket: Duplex): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy();
    return;
  }
  // It came behind a request that was to be the last one, and is none (RFC 9112, 9.6).
  if (error.code === 'HPE_CLOSED_CONNECTION') return;
  const [status, reason, message] = refusalOf(error);
  const refusal = new NemoError('BAD_REQUEST', message, { hint: 'send an ordinary HTTP/1.1 request' });
  afterAnswers(socket, () => {
    socket.end(rawErrorReply(refusal, status, reason), () => socket.destroy());
  });
}

function refusalOf(error: ParseError): Refusal {
  switch (error.code) {
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return [408, 'Request Timeout', 'the request did not arrive in time'];
    case 'HPE_HEADER_OVERFLOW':
      return isRequestLine(error)
        ? [414, 'URI Too Long', `the address is longer than ${GATEWAY_HTTP.headersMaxBytes} bytes`]
        : [
            431,
            'Request Header Fields Too Large',
            `the headers are larger than ${GATEWAY_HTTP.headersMaxBytes} bytes`,
          ];
    case 'HPE_INVALID_VERSION':
      if (!hasOtherVersion(error)) break;
      return [
        505,
        'HTTP Version Not Supported',
        'the request is of a version of HTTP that is not spoken here',
      ];
    case 'HPE_INVALID_METHOD':
      if (hasUnknownMethod(error)) return [501, 'Not Implemented', 'the method of the request is not known'];
      break;
  }
  return [400, 'Bad Request', 'this is no HTTP request'];
}

/** The parser stopped in a request line, and not in a header. */
function isRequestLine(error: ParseError): boolean {
  const read = textOf(error).slice(0, error.bytesParsed);
  const line = read.slice(read.lastIndexOf('\n') + 1);
  return METHODS.includes(line.slice(0, line.indexOf(' ')));
}

/** More than any method has. */
const METHOD_CHARS_MAX = 64;
const TOKEN_CHARACTER = /[!#$%&'*+.^_`|~\w-]/;

/** A request line like any other, but for its first word. */
function hasUnknownMethod(error: ParseError): boolean {
  const text = textOf(error);
  const end = error.bytesParsed ?? 0;
  let begin = end;
  while (begin > 0 && begin > end - METHOD_CHARS_MAX && TOKEN_CHARACTER.test(text[begin - 1]!)) begin--;
  return /^[!#$%&'*+.^_`|~\w-]+ \S+ HTTP\/1\.\d\r?\n/.test(text.slice(begin));
}

/** The same code is of a line that does not end as it should. */
function hasOtherVersion(error: ParseError): boolean {
  const text = textOf(error);
  const begin = text.lastIndexOf(' ', error.bytesParsed) + 1;
  return /^HTTP\/(?!1\.[01])\d\.\d\r\n/.test(text.slice(begin));
}

function textOf({ rawPacket }: ParseError): string {
  return Buffer.isBuffer(rawPacket) ? rawPacket.toString('latin1') : '';
}
