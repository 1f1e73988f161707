/**
 * Watches tables in Redis: on a connection of its own, as one that has subscribed takes no other commands. What was published
 * while it was lost is lost: then everybody is told that anything may have changed.
 */

import type { Redis } from 'ioredis';
import { Watchers } from './watchers.js';

const ENDING = ':changed';

export interface RedisWatch {
  watch(table: string, onChange: (key: string | undefined) => void): Promise<() => void>;
  close(): void;
}

/** Connects with the first watcher. */
export function watchRedis(client: Redis, prefix: string): RedisWatch {
  const watchers = new Watchers();
  let subscriber: Redis | undefined;

  const connected = (): Redis => {
    if (subscriber !== undefined) return subscriber;
    // Subscriptions are made anew by the library. A command that waits for the server waits as long as it is away.
    const made = client.duplicate({ lazyConnect: false, maxRetriesPerRequest: null });
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
      // Answered after the subscriptions, which are sent before it.
      made.ping().then(
        () => watchers.missed(),
        () => {},
      );
    });
    subscriber = made;
    return made;
  };

  return {
    async watch(table, onChange) {
      await connected().subscribe(prefix + table + ENDING);
      return watchers.add(table, onChange);
    },
    close() {
      subscriber?.disconnect();
    },
  };
}
