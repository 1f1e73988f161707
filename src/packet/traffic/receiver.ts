/**
 * The receiving thread: both ends of the NF, because traffic may flow both ways. It waits in poll() and then lets packets
 * gather in the ring for a moment: their timestamps are the kernel's, so reading them late costs no accuracy,
 * and the core is not woken for every packet.
 */

import { monotonicNs, sleepUntil } from '../../linux/clock.js';
import type { PacketSocket } from '../../linux/packet-socket.js';
import { POLLERR, PollSet } from '../../linux/poll.js';
import { TRAFFIC } from '../../tunables.js';
import { bucketOf } from '../latency-buckets.js';
import { hasStamp, sinceStampNs, stampSequence } from './stamp.js';
import { Count, type TrafficState, Word } from './state.js';

/** Sequence numbers remembered to tell duplicates: five seconds at 50,000 packets/s. */
const REMEMBERED = 1 << 18;

export class Receiver {
  /** At `sequence % REMEMBERED`: the number last seen there + 1. */
  private readonly seen = new Uint32Array(REMEMBERED);
  private highest = -1;
  private run = -1;

  constructor(
    private readonly sockets: readonly PacketSocket[],
    private readonly state: TrafficState,
  ) {}

  /** Receives until the process ends; throws INTERFACE_GONE. */
  loop(): never {
    const { sockets } = this;
    const poll = new PollSet(sockets.map((socket) => socket.fd));
    for (;;) {
      if (poll.wait(-1) > 0) sleepUntil(monotonicNs() + TRAFFIC.gatherUs * 1e3);
      let missed = 0;
      for (let i = 0; i < sockets.length; i++) {
        const socket = sockets[i]!;
        if ((poll.reported(i) & POLLERR) !== 0) socket.checkInterface();
        this.drain(socket);
        missed += socket.statistics().dropped;
      }
      this.state.set(Count.missed, missed);
    }
  }

  private drain(socket: PacketSocket): void {
    const { rx } = socket;
    const { words } = this.state;
    while (rx.next()) {
      // Read for each frame: a window closes in between.
      const run = Atomics.load(words, Word.run);
      if (run !== this.run) this.startRun(run);
      const view = rx.views[rx.slot]!;
      if (hasStamp(view, rx.offset, rx.length, run)) {
        const end = rx.offset + rx.length;
        this.record(stampSequence(view, end), sinceStampNs(view, end, rx.seconds, rx.nanoseconds));
      } else this.state.add(Count.foreign, 1);
      rx.release();
    }
  }

  private record(sequence: number, transitNs: number): void {
    const { state } = this;
    const first = Atomics.load(state.words, Word.windowFirst);
    const end = Atomics.load(state.words, Word.windowEnd);
    const inWindow = (sequence - first) >>> 0 < (end - first) >>> 0;
    const place = sequence & (REMEMBERED - 1);
    const duplicate = this.seen[place] === (sequence + 1) >>> 0;
    this.seen[place] = sequence + 1;
    const reordered = sequence < this.highest;
    if (!reordered) this.highest = sequence;
    if (!inWindow) return;
    if (duplicate) {
      state.add(Count.duplicates, 1);
      return;
    }
    if (reordered) state.add(Count.reordered, 1);
    state.add(Count.received, 1);
    const bucket = bucketOf(transitNs);
    state.transit[bucket] = state.transit[bucket]! + 1;
    state.raise(Count.transitMaxNs, transitNs);
  }

  private startRun(run: number): void {
    this.run = run;
    this.highest = -1;
    this.seen.fill(0);
  }
}
