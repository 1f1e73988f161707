/** `/v1/images`: takes an archive of an image in parts, each within the size of an ordinary request. */

import type { FastifyInstance } from 'fastify';
import { NemoError } from '../../model/errors.js';
import type { Platform } from '../../model/platform.js';
import { UPLOAD } from '../../tunables/index.js';
import { addBodyParser, asBytes, whileWorking } from '../body-parser.js';
import { networkOf } from '../callers.js';
import type { Shares } from '../shares.js';

interface Part {
  Params: { id: string };
  Querystring: { offset?: string };
}

export function addImageRoutes(server: FastifyInstance, { uploads }: Platform, bodies: Shares): void {
  // Bodies here are bytes, and nowhere else.
  server.register(async (scope) => {
    addBodyParser(scope, bodies, asBytes);

    scope.post('/v1/images', { bodyLimit: 1024 }, async (request, reply) => {
      const { id } = await uploads.create(networkOf(request.raw.socket.remoteAddress ?? ''));
      return reply.code(201).send({ id, image: `upload:${id}`, partMaxBytes: UPLOAD.partMaxBytes });
    });

    scope.patch<Part>('/v1/images/:id', { bodyLimit: UPLOAD.partMaxBytes }, async (request) => {
      const { offset = '' } = request.query;
      if (!/^\d{1,15}$/.test(offset)) {
        throw new NemoError('BAD_REQUEST', 'offset is not a number of bytes', {
          hint: 'say where the part begins: ?offset=0',
        });
      }
      const part = Buffer.isBuffer(request.body) ? request.body : Buffer.alloc(0);
      return whileWorking(request.raw, bodies, () => uploads.append(request.params.id, Number(offset), part));
    });

    scope.delete<Part>('/v1/images/:id', async (request, reply) => {
      await uploads.remove(request.params.id);
      return reply.code(204).send();
    });
  });
}
