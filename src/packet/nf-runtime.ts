/**
 * The process of a reference NF: two interfaces, a function between them, one thread that never leaves its loop.
 * In sleep mode it waits in poll(); in poll mode it spins, and its core reads 100 % busy. It serves no event loop:
 * it ends by a signal's default action, and reports with synchronous writes.
 */

import { writeSync } from 'node:fs';
import { monotonicNs } from '../linux/clock.js';
import { openPacketSocket } from '../linux/open-packet-socket.js';
import type { PacketSocket } from '../linux/packet-socket.js';
import { POLLERR, PollSet } from '../linux/poll.js';
import type { NfMode } from '../model/nf-profile.js';
import { NF_RUNTIME } from '../tunables/index.js';
import { Forwarder, type FrameProcessor, type LongFrames, type NfReport } from './forwarder.js';
import { PacketCounter } from './shared-latency.js';

export interface NfRuntimeOptions {
  /** Frames received on `in` have direction 0, those on `out` direction 1. */
  in: string;
  out: string;
  mode: NfMode;
  fn: FrameProcessor;
  report: NfReport;
  /** Called once, when both interfaces are open and the loop is about to start. */
  onReady?: () => void;
  /** Called once a second. */
  onStatistics?: (statistics: NfStatistics) => void;
}

/** Totals since the start, [in to out, out to in]. */
export interface NfStatistics {
  forwarded: [number, number];
  droppedByFunction: [number, number];
  droppedFull: [number, number];
  droppedTooLong: [number, number];
  /** Frames for which the receive ring had no slot: the NF was too slow. */
  missed: [number, number];
}

/**
 * Forwards until the process ends. Throws NO_SUCH_INTERFACE, INTERFACE_GONE, NOT_ROOT or SYSCALL;
 * the rings are unmapped by then.
 */
export function runNf(options: NfRuntimeOptions): never {
  const sockets: PacketSocket[] = [];
  try {
    for (const name of [options.in, options.out]) {
      const ring = { slots: NF_RUNTIME.ringSlots, slotBytes: NF_RUNTIME.slotBytes };
      sockets.push(openPacketSocket({ interface: name, rx: ring, tx: ring, offloads: true }));
    }
    return loop(options, sockets[0]!, sockets[1]!);
  } finally {
    for (const socket of sockets) socket.close();
  }
}

function loop(options: NfRuntimeOptions, inside: PacketSocket, outside: PacketSocket): never {
  const { fn, report } = options;
  const outward = new Forwarder(inside.rx, outside.tx, fn, 0, report, longFrames(inside, outside));
  const inward = new Forwarder(outside.rx, inside.tx, fn, 1, report, longFrames(outside, inside));
  const poll = new PollSet([inside.fd, outside.fd]);
  const spin = options.mode === 'poll';
  const reportNs = 1e9;
  let nextReportNs = monotonicNs() + reportNs;
  let emptyRounds = 0;
  let rounds = 0;
  options.onReady?.();
  for (;;) {
    const taken = outward.run() + inward.run();
    // What the rings had no room for, when the NF was busy: asking costs as much as a packet.
    if (taken > 0 && ++rounds % NF_RUNTIME.roundsPerMissed === 0) {
      report.counters[PacketCounter.missed] = inside.statistics().dropped + outside.statistics().dropped;
    }
    if (taken > 0) continue;
    if (spin && ++emptyRounds < NF_RUNTIME.spinsPerLook) continue;
    emptyRounds = 0;
    const flushed = outward.flush() && inward.flush();
    poll.wait(spin ? 0 : flushed ? NF_RUNTIME.sleepMaxMs : NF_RUNTIME.retryMs);
    if ((poll.reported(0) & POLLERR) !== 0) inside.checkInterface();
    if ((poll.reported(1) & POLLERR) !== 0) outside.checkInterface();
    if (options.onStatistics !== undefined && monotonicNs() >= nextReportNs) {
      nextReportNs += reportNs;
      options.onStatistics(statisticsOf(outward, inward, inside, outside));
    }
  }
}

function longFrames(from: PacketSocket, to: PacketSocket): LongFrames {
  return {
    readLong: (into) => from.readLong(into),
    sendLong: (frame, length) => to.sendLong(frame, length),
    mtu: () => to.mtu(),
  };
}

function statisticsOf(
  outward: Forwarder,
  inward: Forwarder,
  inside: PacketSocket,
  outside: PacketSocket,
): NfStatistics {
  return {
    forwarded: [outward.forwarded, inward.forwarded],
    droppedByFunction: [outward.droppedByFunction, inward.droppedByFunction],
    droppedFull: [outward.droppedFull, inward.droppedFull],
    droppedTooLong: [outward.droppedTooLong, inward.droppedTooLong],
    missed: [inside.statistics().dropped, outside.statistics().dropped],
  };
}

/** One line on standard output, also from a loop that never yields. */
export function writeLine(text: string): void {
  writeSync(1, `${text}\n`);
}
