/**
 * The receiving thread: both ends of the NF, because traffic may flow both ways. It waits in poll() and then lets packets
 * gather in the ring for a moment: their timestamps are the kernel's, so reading them late costs no accuracy,
 * and the core is not woken for every packet.
 */

import { monotonicNs, sleepUntil } from '../../linux/clock.js';
import type { PacketSocket } from '../../linux/packet-socket.js';
import { POLLERR, PollSet } from '../../linux/poll.js';
import { bucketOf } from '../../model/latency-buckets.js';
import { TRAFFIC } from '../../tunables/index.js';
import { sinceStampNs, stampSequence, stampWindow } from './stamp.js';
import { Count, type TrafficState, Word } from './state.js';

/** Sequence numbers remembered to tell duplicates: five seconds at 50,000 packets/s. */
const REMEMBERED = 1 << 18;

export class Receiver {
  /** At `sequence % REMEMBERED`: the number last seen there + 1. */
  private readonly seen = new Uint32Array(REMEMBERED);
  /** Highest sequence number of the window, of each socket: those of two directions come interleaved. */
  private readonly highest: Float64Array;
  private window = 0;

  constructor(
    private readonly sockets: readonly PacketSocket[],
    private readonly state: TrafficState,
  ) {
    this.highest = new Float64Array(sockets.length);
  }

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
        this.drain(socket, i);
        missed += socket.statistics().dropped;
      }
      this.state.set(Count.missed, missed);
    }
  }

  private drain(socket: PacketSocket, place: number): void {
    const { rx } = socket;
    const { state } = this;
    while (rx.next()) {
      const bytes = rx.views[rx.slot]!;
      const end = rx.offset + rx.length;
      const window = stampWindow(bytes, rx.offset, end);
      if (window < 0) state.add(Count.foreign, 1);
      else if (window !== 0 && window === Atomics.load(state.words, Word.window)) {
        if (window !== this.window) this.startWindow(window);
        this.record(place, stampSequence(bytes, end), sinceStampNs(bytes, end, rx.seconds, rx.nanoseconds));
      }
      rx.release();
    }
  }

  private record(place: number, sequence: number, transitNs: number): void {
    const { state, seen, highest } = this;
    if (seen[sequence & (REMEMBERED - 1)] === (sequence + 1) >>> 0) {
      state.add(Count.duplicates, 1);
      return;
    }
    seen[sequence & (REMEMBERED - 1)] = sequence + 1;
    if (sequence < highest[place]!) state.add(Count.reordered, 1);
    else highest[place] = sequence;
    state.add(Count.received, 1);
    const bucket = bucketOf(transitNs);
    state.transit[bucket] = state.transit[bucket]! + 1;
    state.raise(Count.transitMaxNs, transitNs);
  }

  private startWindow(window: number): void {
    const { state } = this;
    this.window = window;
    this.highest.fill(0);
    for (const counter of [Count.received, Count.duplicates, Count.reordered, Count.transitMaxNs]) {
      state.set(counter, 0);
    }
    state.transit.fill(0);
    state.set(Count.receiverWindow, window);
  }
}
