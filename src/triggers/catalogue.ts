/** All kinds of sources. */

import { createCronTriggers } from './cron.js';
import type { QueueConfig } from './redis-stream.js';
import type { Source, SourceContext, SourceKind } from './source.js';

export interface SourcesConfig {
  queues: readonly QueueConfig[];
}

const SOURCES: ReadonlyArray<SourceKind<SourcesConfig>> = [
  {
    kind: 'cron',
    open: async (_config, { platform, store }) => [createCronTriggers(platform, store)],
  },
  {
    kind: 'redis-stream',
    open: async ({ queues }, { agentName, platform }) => {
      if (queues.length === 0) return [];
      // Loaded only where it is used: the client costs the agent more memory than its own code.
      const { RedisStreamSource } = await import('./redis-stream.js');
      return queues.map((queue) => new RedisStreamSource(queue, agentName, platform));
    },
  },
];

export async function openSources(config: SourcesConfig, context: SourceContext): Promise<Source[]> {
  const sources: Source[] = [];
  for (const kind of SOURCES) sources.push(...(await kind.open(config, context)));
  return sources;
}
