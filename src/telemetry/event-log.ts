/** The last events of the box, numbered from 1 without gaps; older ones are forgotten. */

import type { FeedEvent } from '../model/feed.js';
import type { EventLog } from '../model/platform.js';
import { FEED } from '../tunables/index.js';
import { Ring } from './ring.js';

export function createEventLog(kept: number = FEED.eventsKept): EventLog {
  const ring = new Ring<FeedEvent>(kept);
  let lastSeq = 0;
  return {
    emit(event) {
      const numbered: FeedEvent = { seq: ++lastSeq, timeMs: Date.now(), ...event };
      ring.push(numbered);
      return numbered;
    },
    since: (seq, limit) => ring.last(Math.min(limit, lastSeq - seq)),
  };
}
