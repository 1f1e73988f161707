/**
 * The console's files, read into memory once: only what was found in the directory at the start can be asked for,
 * so no path a client makes up ever reaches the file system. A rebuilt console shows after a restart.
 */

import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { extname, join, relative, sep } from 'node:path';
import { CONSOLE_HEADERS } from '../console/assets.js';
import { NemoError } from '../model/errors.js';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.json': 'application/json',
  '.map': 'application/json',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};

const SECURITY = Object.entries(CONSOLE_HEADERS).flat();

interface StaticFile {
  body: Buffer;
  etag: string;
  headers: string[];
}

export class StaticFiles {
  private readonly files = new Map<string, StaticFile>();

  /** A directory that is not there is an empty one. Links and what is not a regular file are left out. */
  constructor(directory: string) {
    for (const path of regularFiles(directory)) {
      const url = `/${relative(directory, path).split(sep).join('/')}`;
      const body = readFileSync(path);
      const etag = `"${createHash('sha256').update(body).digest('base64url').slice(0, 22)}"`;
      // Vite puts the content's hash into the names under assets/.
      const cache = url.startsWith('/assets/') ? 'public, max-age=31536000, immutable' : 'no-cache';
      const type = TYPES[extname(path)] ?? 'application/octet-stream';
      const file = {
        body,
        etag,
        headers: [...SECURITY, 'Content-Type', type, 'Cache-Control', cache, 'ETag', etag],
      };
      this.files.set(url, file);
      if (url === '/index.html') this.files.set('/', file);
    }
  }

  /** `path`: as `send` takes it. */
  has(path: string): boolean {
    return this.files.has(path);
  }

  get size(): number {
    return this.files.size;
  }

  /** `path`: the URL's path as it came, without a query. Throws NOT_FOUND. */
  send(path: string, method: string, ifNoneMatch: string | undefined, response: ServerResponse): void {
    const file = this.files.get(path);
    if (file === undefined || (method !== 'GET' && method !== 'HEAD')) {
      throw new NemoError('NOT_FOUND', `there is nothing at ${path.slice(0, 80)}`, {
        hint: 'functions are at /function/<name>, the API under /v1',
      });
    }
    if (ifNoneMatch === file.etag) {
      response.writeHead(304, file.headers).end();
    } else {
      response.writeHead(200, [...file.headers, 'Content-Length', String(file.body.length)]);
      response.end(method === 'HEAD' ? undefined : file.body);
    }
  }
}

function regularFiles(directory: string): string[] {
  let entries: import('node:fs').Dirent[];
  try {
    entries = readdirSync(directory, { withFileTypes: true, recursive: true });
  } catch {
    return [];
  }
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
