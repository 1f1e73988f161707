/**
 * The last events of the box, numbered from 1 without gaps; older ones are forgotten. What callers and deployers can have
 * happen as often as they like has half of the room: nobody pushes out what an operator looks for.
 */

import type { FeedEvent } from '../model/feed.js';
import type { EventLog } from '../model/platform.js';
import type { EventKind } from '../model/platform-events.js';
import { FEED } from '../tunables/index.js';
import { Ring } from './ring.js';

const OF_FUNCTIONS: ReadonlySet<EventKind> = new Set<EventKind>([
  'function-deployed',
  'function-removed',
  'function-failed',
  'sandbox-ended',
  'sandbox-evicted',
  // What engines note, they note of functions and their packages.
  'engine',
]);

export function createEventLog(kept: number = FEED.eventsKept): EventLog {
  const rings = { box: new Ring<FeedEvent>(kept / 2), functions: new Ring<FeedEvent>(kept / 2) };
  let lastSeq = 0;
  return {
    emit(event) {
      const numbered: FeedEvent = { seq: ++lastSeq, timeMs: Date.now(), ...event };
      // Warnings that name a function are of its triggers.
      const ofFunction =
        OF_FUNCTIONS.has(event.kind) || (event.kind === 'warning' && event.functionName !== undefined);
      rings[ofFunction ? 'functions' : 'box'].push(numbered);
      return numbered;
    },
    since(seq, limit) {
      const wanted = Math.min(limit, lastSeq - seq);
      const found = [...rings.box.last(wanted), ...rings.functions.last(wanted)];
      const newer = found.filter((event) => event.seq > seq).sort((a, b) => a.seq - b.seq);
      return wanted > 0 ? newer.slice(-wanted) : [];
    },
  };
}
