/**
 * A small real server in the gateway's place: dist/console over HTTP with the console's own headers, and the feed
 * over a WebSocket. As the agent does, it sends a new reader the newest frame with the last 100 events at once.
 */

import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';
import { type WebSocket, WebSocketServer } from 'ws';
import { CONSOLE_FOLDER, CONSOLE_HEADERS } from '../../../src/console/assets.js';
import type { FeedEvent, FeedFrame } from '../../../src/model/feed.js';
import { type FeedSource, FRAME_MS } from './feed-source.js';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export class FeedServer {
  private readonly clients = new Set<WebSocket>();
  private readonly sockets = new WebSocketServer({ noServer: true });
  private newest: FeedFrame | undefined;
  private events: FeedEvent[] = [];
  private timer: NodeJS.Timeout | undefined;

  private constructor(private readonly http: Server) {
    http.on('upgrade', (request, socket, head) => {
      if (request.url !== '/feed') return void socket.destroy();
      this.sockets.handleUpgrade(request, socket, head, (client) => {
        this.clients.add(client);
        client.on('close', () => this.clients.delete(client));
        if (this.newest) client.send(JSON.stringify({ ...this.newest, events: this.events }));
      });
    });
  }

  /** Port 0: any free one. */
  static async start(port = 0): Promise<FeedServer> {
    if (!existsSync(join(CONSOLE_FOLDER, 'index.html'))) {
      throw new Error(`${CONSOLE_FOLDER} has no console: run \`npm run build\` first`);
    }
    const http = createServer((request, response) => {
      const path = normalize(new URL(request.url ?? '/', 'http://localhost').pathname);
      const file = join(CONSOLE_FOLDER, path === '/' ? 'index.html' : path);
      readFile(file).then(
        (body) => {
          const type = TYPES[extname(file)] ?? 'application/octet-stream';
          response.writeHead(200, { ...CONSOLE_HEADERS, 'content-type': type }).end(body);
        },
        () => response.writeHead(404, CONSOLE_HEADERS).end(),
      );
    });
    await new Promise<void>((resolve, reject) => {
      http.once('error', reject);
      http.listen(port, '127.0.0.1', resolve);
    });
    return new FeedServer(http);
  }

  get port(): number {
    return (this.http.address() as AddressInfo).port;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}/`;
  }

  get readers(): number {
    return this.clients.size;
  }

  publish(frame: FeedFrame): void {
    this.newest = frame;
    this.events = [...this.events, ...frame.events].slice(-100);
    this.send(JSON.stringify(frame));
  }

  /** Any text, also none that a healthy agent would send. */
  send(text: string): void {
    for (const client of this.clients) client.send(text);
  }

  /** Frames at the feed's own pace, until `pause` or `stop`. */
  play(source: FeedSource): void {
    this.pause();
    this.timer = setInterval(() => this.publish(source.next()), FRAME_MS);
  }

  /** Sockets stay open and say nothing: what a stopped (SIGSTOP) agent looks like. */
  pause(): void {
    clearInterval(this.timer);
  }

  /** As a killed agent: every socket ends, nobody listens. */
  async stop(): Promise<void> {
    this.pause();
    for (const client of this.clients) client.terminate();
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}
