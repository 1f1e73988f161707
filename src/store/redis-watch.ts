/**
 * Watches tables in Redis: on a connection of its own, as one that has subscribed takes no other commands. What was published
 * while it was lost is lost: watchers are then told that anything may have changed. Channels are subscribed again here: if
 * the library did so and Redis refused (it is busy, it allows them no longer), nobody would handle the rejection, and the
 * process would end.
 */

import type { Redis } from 'ioredis';
import { REDIS } from '../tunables/index.js';
import { Watchers } from './watchers.js';

const ENDING = ':changed';

export interface RedisWatch {
  watch(table: string, onChange: (key: string | undefined) => void): Promise<() => void>;
  close(): void;
}

/** Connects with the first watcher. */
export function watchRedis(client: Redis, prefix: string): RedisWatch {
  const watchers = new Watchers();
  const channels = new Set<string>();
  let subscriber: Redis | undefined;
  let again: NodeJS.Timeout | undefined;

  const connected = (): Redis => {
    if (subscriber !== undefined) return subscriber;
    // A command that waits for the server waits as long as it is away.
    const made = client.duplicate({ lazyConnect: false, maxRetriesPerRequest: null, autoResubscribe: false });
    // The store's own commands say what is wrong with the server.
    made.on('error', () => {});
    made.on('message', (channel: string, key: string) => {
      watchers.changed(channel.slice(prefix.length, -ENDING.length), key);
    });
    let lost = false;
    made.on('close', () => {
      lost = true;
    });
    made.on('ready', () => {
      if (!lost) return;
      lost = false;
      // The first one, not answered yet, is sent again by the library.
      if (channels.size === 0) return;
      made.subscribe(...channels).then(
        () => watchers.missed(),
        () => {
          again = setTimeout(() => made.disconnect(true), REDIS.watchAgainMs).unref();
        },
      );
    });
    subscriber = made;
    return made;
  };

  return {
    async watch(table, onChange) {
      const channel = prefix + table + ENDING;
      await connected().subscribe(channel);
      channels.add(channel);
      return watchers.add(table, onChange);
    },
    close() {
      clearTimeout(again);
      subscriber?.disconnect();
    },
  };
}
