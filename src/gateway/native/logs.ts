/**
 * `/v1/functions/<name>/logs`: what a function printed, one JSON object a line. With `follow` the answer stays
 * open until the client leaves, the function is removed or the gateway closes. A client that does not read loses
 * lines, and a line says how many: it never holds up the function.
 */

import type { FastifyInstance } from 'fastify';
import { NemoError } from '../../model/errors.js';
import { functionNamed } from '../../model/function-named.js';
import type { Platform } from '../../model/platform.js';
import { LOGS } from '../../tunables/index.js';
import type { Shares } from '../shares.js';
import { asLine, LogFollowers } from './log-followers.js';
import { countParameter, flagParameter } from './query.js';

const TAIL_DEFAULT = 100;

/** Returns the way to end all open answers. */
export function addLogRoutes(server: FastifyInstance, platform: Platform, followers: Shares): () => void {
  const open = new Map<string, LogFollowers>();
  platform.registry.onChange((key, spec) => {
    if (spec === undefined) open.get(key)?.end();
  });

  server.get<{ Params: { name: string }; Querystring: { tail?: string; follow?: string } }>(
    '/v1/functions/:name/logs',
    (request, reply) => {
      const { key } = functionNamed(platform.registry, request.params.name).ref;
      const tail = countParameter(request.query.tail, 'tail', TAIL_DEFAULT, LOGS.linesPerFunction);
      const follows = flagParameter(request.query.follow) && request.method !== 'HEAD';
      const { socket } = request.raw;
      if (follows && !followers.take(socket, 1)) throw tooManyFollowers();

      reply.hijack();
      const response = reply.raw;
      response.writeHead(200, { 'Content-Type': 'application/x-ndjson', 'Cache-Control': 'no-store' });
      response.flushHeaders();
      const printed = platform.logs.read(key, tail).map(asLine).join('');
      if (printed !== '') response.write(printed);
      if (!follows) {
        response.end();
        return;
      }
      const those = open.get(key) ?? new LogFollowers(platform.logs, key);
      open.set(key, those);
      those.add(response);
      // Whoever stops sending does not wait for an end that may never come.
      const left = (): void => void response.destroy();
      socket.once('end', left);
      response.on('close', () => {
        socket.off('end', left);
        followers.give(socket, 1);
        if (those.remove(response)) open.delete(key);
      });
    },
  );

  return () => {
    for (const those of open.values()) those.end();
  };
}

function tooManyFollowers(): NemoError {
  return new NemoError('OVERLOADED', 'as many as may already follow what functions print', {
    hint: 'end one of them, or read without --follow',
  });
}
