/** Web pages of strangers, and what their browsers would ask of an agent. */

import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';

/** As a browser would send them for what a foreign page makes it do. */
export const FOREIGN_ASKS: ReadonlyArray<[what: string, headers: Record<string, string>]> = [
  ['an image', fetched('cross-site', 'no-cors', 'image')],
  ['a script', fetched('cross-site', 'no-cors', 'script')],
  ['a page of another port', fetched('same-site', 'no-cors', 'image')],
  ['a link that somebody follows', fetched('cross-site', 'navigate', 'document')],
  ['a frame', fetched('cross-site', 'navigate', 'iframe')],
  ['a fetch', { ...fetched('cross-site', 'cors', 'empty'), Origin: 'https://evil.example' }],
  ['a fetch by an older browser', { Origin: 'https://evil.example' }],
  ['a fetch by a sandboxed page', { ...fetched('cross-site', 'cors', 'empty'), Origin: 'null' }],
  [
    'a page of another port of this box',
    { ...fetched('same-site', 'cors', 'empty'), Origin: 'http://localhost:3000' },
  ],
  ['an image over plain http from another machine', { 'User-Agent': 'Mozilla/5.0 (X11; Linux)' }],
  ['an origin that only begins like ours', { Origin: 'http://127.0.0.1.evil.example' }],
];

export function fetched(site: string, mode: string, dest: string): Record<string, string> {
  return {
    'User-Agent': 'Mozilla/5.0 (X11; Linux)',
    'Sec-Fetch-Site': site,
    'Sec-Fetch-Mode': mode,
    'Sec-Fetch-Dest': dest,
  };
}

/** A server of a stranger: one page on a port of loopback, of another site by its name. */
export class StrangersPage {
  private constructor(private readonly server: Server) {}

  static async serve(html: string): Promise<StrangersPage> {
    const server = createServer((_request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/html' }).end(html);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return new StrangersPage(server);
  }

  /** `localhost` and `127.0.0.1` are two sites to a browser. */
  get url(): string {
    return `http://localhost:${this.port}/`;
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    this.server.closeAllConnections();
    await new Promise((closed) => this.server.close(closed));
  }
}
