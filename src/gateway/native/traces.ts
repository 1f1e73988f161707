/** `/v1/functions/<name>/traces`: the time lines of a function's last calls, newest first or slowest first. */

import type { FastifyInstance } from 'fastify';
import { functionNamed } from '../../model/function-named.js';
import type { Platform } from '../../model/platform.js';
import { TRACE } from '../../tunables/index.js';
import { countParameter, flagParameter } from './query.js';

const LAST_DEFAULT = 20;

export function addTraceRoutes(server: FastifyInstance, platform: Platform): void {
  server.get<{ Params: { name: string }; Querystring: { last?: string; slowest?: string } }>(
    '/v1/functions/:name/traces',
    async (request) => {
      const { key } = functionNamed(platform.registry, request.params.name).ref;
      const last = countParameter(request.query.last, 'last', LAST_DEFAULT, TRACE.callsPerFunction);
      if (!flagParameter(request.query.slowest)) return { traces: platform.traces.last(key, last) };
      const all = platform.traces.last(key, TRACE.callsPerFunction);
      return { traces: all.sort((a, b) => b.totalMs - a.totalMs).slice(0, last) };
    },
  );
}
