/** What watches the agent: status, events, health, metrics, and the machine that it runs on. */

import type { FastifyInstance } from 'fastify';
import { NemoError } from '../../model/errors.js';
import type { Platform } from '../../model/platform.js';
import type { CallCounts } from '../../telemetry/call-counts.js';
import type { HostInventory } from '../../telemetry/inventory.js';
import type { Metrics } from '../../telemetry/metrics.js';
import { FEED } from '../../tunables/index.js';
import { sendError } from '../error-reply.js';
import { stoppingError } from './invoke.js';
import { countParameter } from './query.js';

export function addObserveRoutes(
  server: FastifyInstance,
  platform: Platform,
  calls: CallCounts,
  stopping: () => boolean,
): void {
  // WebSocket upgrades never come this far.
  server.get('/feed', (_request, reply) => {
    reply.hijack();
    const error = new NemoError('BAD_REQUEST', '/feed is a WebSocket', {
      hint: 'one frame of it is at /v1/status',
    });
    const connection = reply.raw.shouldKeepAlive ? 'Upgrade' : 'Upgrade, close';
    sendError(reply.raw, error, ['Connection', connection, 'Upgrade', 'websocket'], 426);
  });

  server.get('/v1/status', async () => platform.frame());

  server.get<{ Querystring: { since?: string; limit?: string } }>('/v1/events', async (request) => {
    const since = countParameter(request.query.since, 'since', 0, Number.MAX_SAFE_INTEGER);
    const limit = countParameter(request.query.limit, 'limit', FEED.eventsKept, FEED.eventsKept);
    return { events: platform.events.since(since, limit) };
  });

  server.get('/v1/engines', async () => ({ engines: await platform.engines() }));

  server.get('/healthz', async () => {
    if (stopping()) throw stoppingError();
    return { status: 'ok' };
  });

  let metrics: Promise<Metrics> | undefined;
  server.get('/metrics', async (_request, reply) => {
    metrics ??= import('../../telemetry/metrics.js').then(({ createMetrics }) =>
      createMetrics(() => platform.frame(), calls),
    );
    const { contentType, scrape } = await metrics;
    return reply.header('Content-Type', contentType).send(await scrape());
  });

  let host: Promise<HostInventory> | undefined;
  server.get('/v1/host', async () => {
    host ??= import('../../telemetry/inventory.js').then(({ readInventory }) => readInventory());
    return host;
  });
}
