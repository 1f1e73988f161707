/** `/v1/functions`: deploy, list, describe, remove. A translation of HTTP to the registry and nothing more. */

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Asker } from '../../model/asker.js';
import { NemoError } from '../../model/errors.js';
import { functionNamed } from '../../model/function-named.js';
import { parseFunctionText, splitFunctionText } from '../../model/function-ref.js';
import type { DeployInput, Platform } from '../../model/platform.js';
import { GATEWAY_HTTP } from '../../tunables/index.js';
import { whileWorking } from '../body-parser.js';
import { networkOf } from '../callers.js';
import type { Shares } from '../shares.js';
import { functionJson } from './function-view.js';

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
      const named = namedBy(request.params.name, body);
      const asker = askerOf(request, reply);
      const { spec, created } = await whileWorking(request.raw, bodies, () =>
        registry.deploy({ ...(body as unknown as DeployInput), ...named }, asker),
      );
      return asJson(reply.code(created ? 201 : 200), functionJson(spec));
    },
  );

  server.get('/v1/functions', async (_request, reply) =>
    asJson(reply, `{"functions":[${registry.list().map(functionJson).join(',')}]}`),
  );

  server.get<ByName>('/v1/functions/:name', async (request, reply) =>
    asJson(reply, functionJson(functionNamed(registry, request.params.name))),
  );

  server.delete<ByName>('/v1/functions/:name', async (request, reply) => {
    requireNoAlias(request.params.name);
    await registry.remove(parseFunctionText(request.params.name).key, askerOf(request, reply));
    return reply.code(204).send();
  });
}

/** The path's name, and its namespace if it has one. BAD_REQUEST if the body says otherwise. */
function namedBy(text: string, body: Record<string, unknown>): { name: string; namespace?: string } {
  requireNoAlias(text);
  const named = splitFunctionText(text);
  for (const [part, value] of Object.entries(named)) {
    if (body[part] === undefined || body[part] === value) continue;
    throw new NemoError('BAD_REQUEST', `the path names '${text.slice(0, 80)}', the body another function`, {
      hint: `leave the ${part} out of the body`,
    });
  }
  return named;
}

/** Who deploys or removes does so to a function, not to one of its versions. */
function requireNoAlias(text: string): void {
  if (splitFunctionText(text).alias === undefined) return;
  throw new NemoError('BAD_REQUEST', `'${text.slice(0, 80)}' names one version of a function`, {
    hint: 'deploy or remove the function: leave out the colon and what follows it',
  });
}

function asJson(reply: FastifyReply, text: string): FastifyReply {
  return reply.type('application/json; charset=utf-8').send(text);
}

function askerOf({ raw: { socket } }: FastifyRequest, reply: FastifyReply): Asker {
  const left = new AbortController();
  reply.raw.once('close', () => left.abort());
  return { client: networkOf(socket.remoteAddress ?? ''), left: left.signal };
}
