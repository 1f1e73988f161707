/** The console's files, at every path that no route has; and what may be done at one that some route has. */

import type { FastifyInstance } from 'fastify';
import { asNemoError, NemoError } from '../model/errors.js';
import { sendError } from './error-reply.js';
import type { StaticFiles } from './static-files.js';

/** Call it before any route is added. Gives what may be done at a path: nothing if no route of any method leads there. */
export function watchRoutes(server: FastifyInstance): (path: string) => string[] {
  const routes: Array<{ pattern: RegExp; method: string }> = [];
  server.addHook('onRoute', ({ url, method }) => {
    const pattern = new RegExp(`^${url.replace(/:\w+/g, '[^/]+')}$`);
    for (const one of [method].flat()) routes.push({ pattern, method: one });
  });
  return (path) => routes.filter(({ pattern }) => pattern.test(path)).map(({ method }) => method);
}

export function addConsole(
  server: FastifyInstance,
  files: StaticFiles,
  methodsAt: (path: string) => string[],
): void {
  server.setNotFoundHandler((request, reply) => {
    const path = request.url.split('?', 1)[0]!;
    const ifNoneMatch = request.headers['if-none-match'];
    reply.hijack();
    const allowed = methodsAt(path).join(', ');
    if (allowed !== '') {
      const hint = `there is ${allowed}`;
      const error = new NemoError('BAD_REQUEST', `${request.method} is nothing for ${path}`, { hint });
      return sendError(reply.raw, error, ['Allow', allowed], 405);
    }
    try {
      files.send(path, request.method, ifNoneMatch, reply.raw);
    } catch (thrown) {
      sendError(reply.raw, asNemoError(thrown));
    }
  });
}
