/** What a frame of the feed says of the agent itself: how fast it reacted to conflicts, and which stems it keeps. */

import { type Board, Head, PACKET_SOURCES } from '../model/board.js';
import type { FeedFrame, PacketReactions } from '../model/feed.js';
import type { Instance } from '../pool/instance.js';
import { isAhead } from '../pool/stem-source.js';

export function stemsOf(stems: readonly Instance[]): Pick<FeedFrame['agent'], 'stems' | 'zygotes'> {
  const names = stems.flatMap(({ stemKind }) => (isAhead(stemKind) ? stemKind.ahead.join(' ') : []));
  return { stems: stems.length, ...(names.length === 0 ? {} : { zygotes: names.sort() }) };
}

export function reactionsOf(board: Board): Pick<FeedFrame['agent'], 'reactions'> {
  const count = board.head(Head.reactions);
  if (count === 0) return {};
  const p50Us = board.head(Head.reactionP50Us);
  return { reactions: { count, p50Us, p99Us: board.head(Head.reactionP99Us), ...packetReactionsOf(board) } };
}

function packetReactionsOf(board: Board): { packet?: PacketReactions } {
  const count = board.head(Head.packetReactions);
  if (count === 0) return {};
  const bits = board.head(Head.packetSources);
  return {
    packet: {
      count,
      p50Us: board.head(Head.packetReactionP50Us),
      p99Us: board.head(Head.packetReactionP99Us),
      overSloP50Us: board.head(Head.overSloP50Us),
      overSloP99Us: board.head(Head.overSloP99Us),
      knownP50Us: board.head(Head.knownP50Us),
      knownP99Us: board.head(Head.knownP99Us),
      sources: (['reported', 'tap'] as const).filter((name) => (bits & PACKET_SOURCES[name]) !== 0),
    },
  };
}
