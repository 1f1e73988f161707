/** `/v1/functions`: deploy, list, describe, remove. A translation of HTTP to the registry and nothing more. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Asker } from '../../model/asker.js';
import { NemoError } from '../../model/errors.js';
import { noSuchFunction } from '../../model/function.js';
import type { DeployInput, Platform } from '../../model/platform.js';
import { GATEWAY_HTTP } from '../../tunables/index.js';
import { whileWorking } from '../body-parser.js';
import { networkOf } from '../callers.js';
import type { Shares } from '../shares.js';
import { viewFunction } from './function-view.js';

interface ByName {
  Params: { name: string };
}

export function addFunctionRoutes(server: FastifyInstance, platform: Platform, bodies: Shares): void {
  const { registry } = platform;

  server.put<ByName>(
    '/v1/functions/:name',
    { bodyLimit: GATEWAY_HTTP.deployMaxBytes },
    async (request, reply) => {
      const body = request.body as Record<string, unknown> | null | undefined;
      if (typeof body !== 'object' || body === null || Array.isArray(body)) {
        throw new NemoError('BAD_REQUEST', 'a deploy is not a JSON object', { hint: 'send {"code": "..."}' });
      }
      const { name } = request.params;
      if (body.name !== undefined && body.name !== name) {
        throw new NemoError(
          'BAD_REQUEST',
          `the path names '${name.slice(0, 80)}', the body another function`,
          {
            hint: 'leave the name out of the body',
          },
        );
      }
      const asker = askerOf(request, reply);
      const { spec, created } = await whileWorking(request.raw, bodies, () =>
        registry.deploy({ ...(body as unknown as DeployInput), name }, asker),
      );
      return reply.code(created ? 201 : 200).send(viewFunction(spec));
    },
  );

  server.get('/v1/functions', async () => ({ functions: registry.list().map(viewFunction) }));

  server.get<ByName>('/v1/functions/:name', async (request) => {
    const spec = registry.get(request.params.name);
    if (spec === undefined) throw noSuchFunction(request.params.name);
    return viewFunction(spec);
  });

  server.delete<ByName>('/v1/functions/:name', async (request, reply) => {
    await registry.remove(request.params.name, askerOf(request, reply));
    return reply.code(204).send();
  });
}

function askerOf({ raw: { socket } }: FastifyRequest, reply: FastifyReply): Asker {
  const left = new AbortController();
  reply.raw.once('close', () => left.abort());
  return { client: networkOf(socket.remoteAddress ?? ''), left: left.signal };
}
