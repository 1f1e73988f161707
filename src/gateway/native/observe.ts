/** What watches the agent: status, events, health, metrics. */

import type { FastifyInstance } from 'fastify';
import type { Metrics } from '../../telemetry/metrics.js';
import { FEED } from '../../tunables.js';
import type { Platform } from '../platform.js';
import { stoppingError } from './invoke.js';
import { countParameter } from './query.js';

export function addObserveRoutes(
  server: FastifyInstance,
  platform: Platform,
  metrics: Metrics,
  stopping: () => boolean,
): void {
  server.get('/v1/status', async () => platform.frame());

  server.get<{ Querystring: { since?: string; limit?: string } }>('/v1/events', async (request) => {
    const since = countParameter(request.query.since, 'since', 0, Number.MAX_SAFE_INTEGER);
    const limit = countParameter(request.query.limit, 'limit', FEED.eventsKept, FEED.eventsKept);
    return { events: platform.events.since(since, limit) };
  });

  server.get('/healthz', async () => {
    if (stopping()) throw stoppingError();
    return { status: 'ok' };
  });

  server.get('/metrics', async (_request, reply) =>
    reply.header('Content-Type', metrics.contentType).send(await metrics.scrape()),
  );
}
