/** Which events the list shows. Pure: the list calls it with what the user typed and chose. */

import type { FeedEvent } from '../../model/feed.js';

export type LeastSeverity = FeedEvent['severity'];

const RANK: Record<FeedEvent['severity'], number> = { info: 0, warning: 1, error: 2 };

export function eventMatches(event: FeedEvent, least: LeastSeverity, text: string): boolean {
  if (RANK[event.severity] < RANK[least]) return false;
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (words.length === 0) return true;
  const core = event.core === undefined ? '' : `core ${event.core} core${event.core}`;
  const hay = [event.kind, event.message, event.nf, event.functionName, event.sandboxId, event.cause, core]
    .join(' ')
    .toLowerCase();
  return words.every((word) => hay.includes(word));
}

/** The newest `limit` events that match, newest first. */
export function newestMatching(
  events: readonly FeedEvent[],
  least: LeastSeverity,
  text: string,
  limit: number,
): FeedEvent[] {
  const shown: FeedEvent[] = [];
  for (let i = events.length - 1; i >= 0 && shown.length < limit; i--) {
    if (eventMatches(events[i]!, least, text)) shown.push(events[i]!);
  }
  return shown;
}
