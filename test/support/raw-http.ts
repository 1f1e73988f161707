/** HTTP as it is on the wire, for tables of its rules: what is written is written as it stands, what comes is taken apart. */

import type { Socket } from 'node:net';
import { rawSocket, untilClosed } from '../gateway/http-client.js';

export interface WireAnswer {
  status: number;
  /** Lower-case name -> value; several of one name stand in `lines` alone. */
  headers: Record<string, string>;
  /** Header lines as they came. */
  lines: string[];
  /** Without its framing. */
  body: string;
  /** Of chunks. */
  trailers: string[];
  /** It was sent in chunks. */
  chunked: boolean;
}

/** Every answer, informational ones too, that the server sends to `text` until it closes. `methods`: of the requests. */
export async function exchange(
  port: number,
  text: string,
  methods: string[] = ['GET'],
): Promise<WireAnswer[]> {
  const socket = await rawSocket(port);
  socket.write(text, 'latin1');
  return answersOf(await untilClosed(socket), methods);
}

/** The same with the sending side closed behind the request, as `nc -N` does. */
export async function exchangeHalfClosed(port: number, text: string): Promise<WireAnswer[]> {
  const socket: Socket = await rawSocket(port);
  socket.allowHalfOpen = true;
  socket.end(text, 'latin1');
  return answersOf(await untilClosed(socket));
}

export function answersOf(text: string, methods: string[] = []): WireAnswer[] {
  const answers: WireAnswer[] = [];
  let asked = 0;
  let rest = text;
  while (rest !== '') {
    const end = rest.indexOf('\r\n\r\n');
    if (end < 0) throw new Error(`no end of a head: ${rest}`);
    const [first = '', ...lines] = rest.slice(0, end).split('\r\n');
    const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(first)?.[1]);
    if (Number.isNaN(status)) throw new Error(`no status line: ${first}`);
    const headers: Record<string, string> = {};
    for (const line of lines) {
      const colon = line.indexOf(':');
      headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
    }
    rest = rest.slice(end + 4);
    const answer = { status, headers, lines, body: '', trailers: [] as string[], chunked: false };
    answers.push(answer);
    if (status < 200) continue;
    const method = methods[asked++] ?? 'GET';
    if (method === 'HEAD' || status === 204 || status === 304) continue;
    if (headers['transfer-encoding'] !== undefined) {
      answer.chunked = true;
      for (;;) {
        const line = rest.indexOf('\r\n');
        const size = Number.parseInt(rest.slice(0, line), 16);
        if (line < 0 || Number.isNaN(size) || rest.length < size) throw new Error(`no whole chunk: ${rest}`);
        rest = rest.slice(line + 2);
        if (size === 0) break;
        answer.body += rest.slice(0, size);
        rest = rest.slice(size + 2);
      }
      for (let line = rest.indexOf('\r\n'); line > 0; line = rest.indexOf('\r\n')) {
        answer.trailers.push(rest.slice(0, line));
        rest = rest.slice(line + 2);
      }
      rest = rest.slice(2);
    } else {
      const length =
        headers['content-length'] === undefined ? rest.length : Number(headers['content-length']);
      if (rest.length < length) throw new Error(`the body is shorter than ${length}: ${rest}`);
      answer.body = rest.slice(0, length);
      rest = rest.slice(length);
    }
  }
  return answers;
}
