/**
 * How long the loop took from a conflict to the applied throttle, as histograms: from the tick before its sign (always
 * known), from the moment at which the kernel received the packet that broke the SLO, from when that packet's time was
 * up (it is late only once its SLO has passed), and from when the NF sent it on: only then it could be known.
 */

import { unixNs } from '../linux/clock.js';
import { type Board, Head, PACKET_SOURCES } from '../model/board.js';
import { LatencyBuckets } from '../model/latency-buckets.js';
import type { CoreController } from './core-controller.js';
import type { PacketReaction } from './messages.js';

/** A clock that was set in between shows as a time that cannot be. */
const PACKET_MAX_NS = 10e9;

export class Reactions {
  private readonly fromTick = new LatencyBuckets();
  private readonly fromPacket = new LatencyBuckets();
  private readonly overSlo = new LatencyBuckets();
  private readonly known = new LatencyBuckets();
  private sources = 0;

  constructor(private readonly board: Board) {}

  /** The throttle has been applied. `tickNs`: since the look before, which found nothing. */
  record(core: CoreController, tickNs: number): PacketReaction | undefined {
    this.fromTick.record(tickNs);
    const nowUnixNs = unixNs();
    for (const nf of core.nfs) {
      const breach = nf.breach(nowUnixNs - tickNs);
      if (breach === undefined) continue;
      const packetNs = nowUnixNs - breach.receivedUnixNs;
      if (packetNs < 0 || packetNs > PACKET_MAX_NS) continue;
      const overSloNs = Math.max(0, packetNs - nf.nf.sloUs * 1000);
      const knownNs = Math.max(0, nowUnixNs - breach.leftUnixNs);
      this.fromPacket.record(packetNs);
      this.overSlo.record(overSloNs);
      this.known.record(knownNs);
      this.sources |= PACKET_SOURCES[breach.source];
      return { overSloUs: overSloNs / 1000, knownUs: knownNs / 1000 };
    }
    return undefined;
  }

  publish(): void {
    const { board } = this;
    board.setHead(Head.reactions, this.fromTick.total());
    board.setHead(Head.reactionP50Us, quantileUs(this.fromTick, 0.5));
    board.setHead(Head.reactionP99Us, quantileUs(this.fromTick, 0.99));
    board.setHead(Head.packetReactions, this.fromPacket.total());
    board.setHead(Head.packetReactionP50Us, quantileUs(this.fromPacket, 0.5));
    board.setHead(Head.packetReactionP99Us, quantileUs(this.fromPacket, 0.99));
    board.setHead(Head.overSloP50Us, quantileUs(this.overSlo, 0.5));
    board.setHead(Head.overSloP99Us, quantileUs(this.overSlo, 0.99));
    board.setHead(Head.knownP50Us, quantileUs(this.known, 0.5));
    board.setHead(Head.knownP99Us, quantileUs(this.known, 0.99));
    board.setHead(Head.packetSources, this.sources);
  }
}

function quantileUs(of: LatencyBuckets, quantile: number): number {
  const ns = of.quantileNs(quantile);
  return Number.isNaN(ns) ? 0 : ns / 1000;
}
