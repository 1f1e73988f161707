/** Requests as a test needs them: any header, any body, the whole answer; and raw sockets for what no client sends. */

import { once } from 'node:events';
import { type IncomingHttpHeaders, request } from 'node:http';
import { connect, type Socket } from 'node:net';

export interface Answer {
  status: number;
  headers: IncomingHttpHeaders;
  rawHeaders: string[];
  trailers: NodeJS.Dict<string>;
  body: Buffer;
  /** Of a JSON body. */
  // biome-ignore lint/suspicious/noExplicitAny: tests look into whatever came
  json(): any;
}

export interface Ask {
  method?: string;
  headers?: Record<string, string | string[]>;
  body?: string | Buffer;
}

export function ask(url: string, { method = 'GET', headers = {}, body }: Ask = {}): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(url, { method, headers, agent: false }, async (incoming) => {
      try {
        const chunks: Buffer[] = [];
        for await (const chunk of incoming) chunks.push(chunk as Buffer);
        const all = Buffer.concat(chunks);
        resolve({
          status: incoming.statusCode!,
          headers: incoming.headers,
          rawHeaders: incoming.rawHeaders,
          trailers: incoming.trailers,
          body: all,
          json: () => JSON.parse(all.toString()),
        });
      } catch (broken) {
        reject(broken);
      }
    });
    outgoing.on('error', reject);
    outgoing.end(body);
  });
}

export async function rawSocket(port: number): Promise<Socket> {
  const socket = connect(port, '127.0.0.1');
  await once(socket, 'connect');
  socket.on('error', () => undefined);
  return socket;
}

/** Everything that the server sends until it closes. */
export async function untilClosed(socket: Socket): Promise<string> {
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk.toString('latin1');
  });
  if (!socket.closed) await once(socket, 'close');
  return text;
}

/** What the server sends until `pattern` stands in it. */
export function untilText(socket: Socket, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    const onData = (chunk: Buffer): void => {
      text += chunk.toString('latin1');
      if (!pattern.test(text)) return;
      socket.off('data', onData).off('close', onClose);
      resolve(text);
    };
    const onClose = (): void => reject(new Error(`closed before ${pattern}: ${text}`));
    socket.on('data', onData).once('close', onClose);
  });
}
