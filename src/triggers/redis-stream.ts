/** The source that the configuration calls a queue: entries of a Redis stream call a function. */

import { hostname } from 'node:os';
import { parseFunctionText } from '../model/function-ref.js';
import type { Platform } from '../model/platform.js';
import { QUEUE } from '../tunables/index.js';
import { QueueSource } from './queue-source.js';
import { RedisQueue } from './redis-queue.js';

export interface QueueConfig {
  /** redis://[:password@]host:port[/db] */
  url: string;
  stream: string;
  /** `[namespace/]name`. */
  function: string;
  /** Boxes of one group share the entries. Default `nemo`. */
  group?: string;
  /** Calls at the same time. Default 4. */
  parallel?: number;
  /** Stream that gets `{entry, status, body}` for every entry that was answered. */
  replies?: string;
}

export class RedisStreamSource extends QueueSource {
  constructor(
    { function: text, url, stream, group = 'nemo', parallel = QUEUE.parallel, replies }: QueueConfig,
    agentName: string,
    platform: Platform,
  ) {
    const { key: functionKey } = parseFunctionText(text);
    const onWarning = (message: string): void => {
      platform.events.emit({ kind: 'warning', severity: 'warning', functionName: functionKey, message });
    };
    const consumer = `${hostname()}-${agentName}`;
    const queue = new RedisQueue({ url, stream, group, consumer, replies, onWarning });
    super({ queue, functionKey, parallel, platform });
  }
}
