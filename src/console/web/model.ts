/**
 * What the page knows: the newest frame, a minute of every NF core, the latest events, and what went missing.
 * Bounded whatever the agent sends. An agent that restarts counts from 1 again: that is no loss, and history goes on.
 */

import type { FeedCore, FeedEvent, FeedFrame } from '../../model/feed.js';
import { CoreHistory, SPAN_MS } from './history.js';

export const EVENTS_KEPT = 500;

export interface Lane {
  core: number;
  history: CoreHistory;
  latest: FeedCore;
  lastNfMs: number;
}

export class ConsoleModel {
  frame: FeedFrame | undefined;
  /** Frames that this page was too slow for, since it was opened. */
  lostFrames = 0;
  agentRestarts = 0;
  /** By core; a lane stays for a minute after its NF went, so that a restart of the NF can be seen. */
  readonly lanes = new Map<number, Lane>();
  /** Oldest first. */
  readonly events: FeedEvent[] = [];
  /** Events ever taken in; grows also when old ones are dropped. */
  eventsSeen = 0;

  /** `firstOfConnection`: nothing is said about frames sent while nobody listened. */
  apply(frame: FeedFrame, firstOfConnection: boolean): void {
    const before = this.frame;
    if (before) {
      const restarted = frame.agent.uptimeS < before.agent.uptimeS || frame.seq < before.seq;
      if (restarted) this.agentRestarts++;
      else if (!firstOfConnection) this.lostFrames += Math.max(0, frame.seq - before.seq - 1);
    }
    this.frame = frame;
    for (const core of frame.cores) this.applyCore(frame.timeMs, core);
    for (const lane of this.lanes.values()) {
      if (frame.timeMs - lane.lastNfMs > SPAN_MS) this.lanes.delete(lane.core);
    }
    for (const event of frame.events) this.applyEvent(event);
  }

  /** In order of core number. */
  sortedLanes(): Lane[] {
    return [...this.lanes.values()].sort((a, b) => a.core - b.core);
  }

  private applyCore(timeMs: number, latest: FeedCore): void {
    let lane = this.lanes.get(latest.core);
    if (!lane) {
      if (latest.role !== 'nf') return;
      lane = { core: latest.core, history: new CoreHistory(), latest, lastNfMs: timeMs };
      this.lanes.set(latest.core, lane);
    }
    lane.latest = latest;
    // The host's clock may have been set back.
    if (latest.role === 'nf' || lane.lastNfMs > timeMs) lane.lastNfMs = timeMs;
    lane.history.push(timeMs, latest);
  }

  /** After a reconnect the agent sends its last 100 again; the same number at the same time is the same event. */
  private applyEvent(event: FeedEvent): void {
    for (let i = this.events.length - 1; i >= 0; i--) {
      const known = this.events[i]!;
      if (known.seq === event.seq && known.timeMs === event.timeMs) return;
    }
    this.events.push(event);
    this.eventsSeen++;
    if (this.events.length > EVENTS_KEPT) this.events.splice(0, this.events.length - EVENTS_KEPT);
  }
}

/** Figures of the whole box, for the first row of the page. */
export interface BoxTotals {
  nfs: number;
  /** NFs whose SLO is known to be held, and those with a verdict at all. */
  slosHeld: number;
  slosKnown: number;
  /** Cores' worth of functions running on NF cores now. */
  functionCores: number;
  nfCores: number;
  harvestedS: number;
  spareS: number;
  conflicts: number;
  callsPerS: number;
  sandboxes: number;
  failed: number;
  completed: number;
}

export function boxTotals(frame: FeedFrame): BoxTotals {
  const nfCores = frame.cores.filter((core) => core.role === 'nf');
  const running = frame.nfs.filter((nf) => nf.state === 'running');
  const sum = <T>(items: T[], of: (item: T) => number) => items.reduce((total, item) => total + of(item), 0);
  return {
    nfs: running.length,
    slosHeld: running.filter((nf) => nf.sloHeld === true).length,
    slosKnown: running.filter((nf) => nf.sloHeld !== null).length,
    functionCores: sum(nfCores, (core) => core.functionRatio),
    nfCores: nfCores.length,
    harvestedS: sum(nfCores, (core) => core.totals.harvestedS),
    spareS: sum(nfCores, (core) => core.totals.spareS),
    conflicts: sum(nfCores, (core) => core.conflicts),
    callsPerS: sum(frame.functions, (fn) => fn.ratePerS),
    sandboxes: sum(frame.functions, (fn) => fn.sandboxes.length),
    failed: sum(frame.functions, (fn) => fn.failed),
    completed: sum(frame.functions, (fn) => fn.completed),
  };
}
