/**
 * The thread of a tap. It stays in the NF's network namespace and never serves its event loop; the times that it compares
 * are the kernel's, so how late it looks does not matter. While it runs it keeps that namespace alive. It outlives its
 * interfaces: it waits for one that was removed, and listens again when it was made again.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { realtimeNs, toUnixNs } from '../../linux/clock.js';
import { insideNamespace } from '../../linux/netns.js';
import { openPacketSocket } from '../../linux/open-packet-socket.js';
import type { RxRing } from '../../linux/packet-ring.js';
import type { PacketSocket } from '../../linux/packet-socket.js';
import { byDescriptor } from '../../linux/process-directory.js';
import { asNemoError, NemoError } from '../../model/errors.js';
import { Doorbell } from '../../packet/doorbell.js';
import { TAP } from '../../tunables/index.js';
import { InterfacePackets } from './interface-packets.js';
import { type Invariant, tapFilter } from './tap-filter.js';
import { PacketKey } from './tap-key.js';
import { TapMemory, type TapStatistics } from './tap-memory.js';
import { TapRecognition } from './tap-recognition.js';
import { TapTable } from './tap-table.js';

export interface TapWorkerData {
  shared: SharedArrayBuffer;
  /** The NF's below /proc, opened. */
  directory: number;
  ingress: string;
  egress: string;
  invariant: Invariant;
  /** Interfaces need not be there at first. */
  patient: boolean;
}

const SHIFT_MAX = 16;
const LOOK_MS = 100;
/** Interfaces are looked at, and figures of dropped frames read, once in so many of those. */
const LOOKS_PER_CHECK = 10;

const data = workerData as TapWorkerData;
const memory = TapMemory.over(data.shared);

/**
 * Which way packets go at the two interfaces depends on where the NF is. Most are on this side of both: packets come in and
 * go out. To a guest or a container behind its interfaces packets go out, and come in from it; a process that holds a TUN
 * device is on this side of one interface and behind the other.
 */
interface Direction {
  ingressOut: boolean;
  egressOut: boolean;
}
const DIRECTIONS: readonly Direction[] = [
  { ingressOut: false, egressOut: true },
  { ingressOut: true, egressOut: false },
  { ingressOut: false, egressOut: false },
  { ingressOut: true, egressOut: true },
];

class Tap {
  private readonly table = new TapTable(TAP.tableEntries, TAP.expiryNs);
  private readonly doorbell = new Doorbell(memory.bell);
  private readonly key: PacketKey;
  private readonly inside: PacketSocket;
  private readonly outside: PacketSocket;
  private readonly leftA = new Int32Array(TAP.ringSlots);
  private readonly leftB = new Int32Array(TAP.ringSlots);
  private readonly leftNs = new Float64Array(TAP.ringSlots);
  /** One packet in 2^shift. Starts where even a million packets/s does no harm until the first look. */
  private shift = 8;
  private entered = 0;
  private readonly counts: InterfacePackets;
  private readonly recognition: TapRecognition;
  private readonly statistics: TapStatistics = {
    matched: 0,
    lost: 0,
    ambiguous: 0,
    unknown: 0,
    missed: 0,
    oneIn: 2 ** this.shift,
  };

  /** `totals`: of the tap before this one. */
  constructor(
    private readonly direction: Direction,
    totals: TapStatistics | undefined,
  ) {
    const { ingress, egress, invariant } = data;
    this.key = new PacketKey(invariant);
    const rx = { slots: TAP.ringSlots, slotBytes: TAP.slotBytes };
    if (totals !== undefined) this.shift = Math.log2(totals.oneIn);
    const open = (name: string, outgoing: boolean) =>
      openPacketSocket({
        interface: name,
        rx,
        filter: tapFilter(invariant, outgoing, this.shift),
        ignoreOutgoing: !outgoing,
      });
    this.inside = open(ingress, direction.ingressOut);
    try {
      this.outside = open(egress, direction.egressOut);
    } catch (thrown) {
      this.inside.close();
      throw thrown;
    }
    if (totals !== undefined) {
      const { matched, lost, ambiguous, unknown } = totals;
      Object.assign(this.table, { matched, lost, ambiguous, unknown });
    }
    this.counts = new InterfacePackets([ingress, egress]);
    this.recognition = new TapRecognition(this.counts.read(), this.table.matched);
  }

  /** Ends when it is stopped, or when packets pass that it does not recognise. Throws INTERFACE_GONE. */
  run(): 'stopped' | 'blind' {
    const looksAfter = Math.round(LOOK_MS / TAP.pauseMs);
    for (let round = 1; !memory.pause(TAP.pauseMs); round++) {
      this.drain();
      if (round % looksAfter !== 0) continue;
      this.adapt();
      if (round % (looksAfter * LOOKS_PER_CHECK) !== 0) continue;
      this.check();
      if (this.isBlind()) return 'blind';
    }
    return 'stopped';
  }

  get totals(): TapStatistics {
    return this.statistics;
  }

  close(): void {
    this.inside.close();
    this.outside.close();
  }

  /**
   * What left is collected first, then what entered is noted, then the two are matched: so every packet that left has
   * its entry noted, however the looks fall between.
   */
  private drain(): void {
    const left = this.collect(this.outside.rx);
    const { key, table } = this;
    const { rx } = this.inside;
    const enteredBefore = this.entered;
    for (let n = 0; n < rx.slots && rx.next(); n++) {
      if (key.read(rx.views[rx.slot]!, rx.offset, rx.length)) {
        table.enter(key.a, key.b, rx.timestampNs());
        this.entered++;
      }
      rx.release();
    }
    for (let i = 0; i < left; i++) {
      const leftNs = this.leftNs[i]!;
      const latencyNs = table.leave(this.leftA[i]!, this.leftB[i]!, leftNs);
      if (latencyNs < 0) continue;
      memory.buckets.recordPacket(latencyNs, toUnixNs(leftNs - latencyNs));
      this.doorbell.passed(latencyNs);
    }
    if (left === 0 && this.entered === enteredBefore) return;
    this.publish();
    this.doorbell.done(realtimeNs());
  }

  private collect(rx: RxRing): number {
    let count = 0;
    while (count < this.leftNs.length && rx.next()) {
      if (this.key.read(rx.views[rx.slot]!, rx.offset, rx.length)) {
        this.leftA[count] = this.key.a;
        this.leftB[count] = this.key.b;
        this.leftNs[count] = rx.timestampNs();
        count++;
      }
      rx.release();
    }
    return count;
  }

  private publish(): void {
    const { statistics, table } = this;
    statistics.matched = table.matched;
    statistics.lost = table.lost;
    statistics.ambiguous = table.ambiguous;
    statistics.unknown = table.unknown;
    statistics.oneIn = 2 ** this.shift;
    memory.publish(statistics);
  }

  /** Keeps the rate of measured packets between a quarter of the wanted one and the whole of it. */
  private adapt(): void {
    const perS = (this.entered * 1000) / LOOK_MS;
    this.entered = 0;
    const before = this.shift;
    if (perS > TAP.samplesPerS) this.shift = Math.min(SHIFT_MAX, this.shift + 1);
    else if (perS < TAP.samplesPerS / 4) this.shift = Math.max(0, this.shift - 1);
    if (this.shift === before) return;
    const { ingressOut, egressOut } = this.direction;
    this.inside.setFilter(tapFilter(data.invariant, ingressOut, this.shift));
    this.outside.setFilter(tapFilter(data.invariant, egressOut, this.shift));
    this.publish();
  }

  private check(): void {
    this.inside.checkInterface();
    this.outside.checkInterface();
    this.table.sweep(realtimeNs());
    this.statistics.missed = this.inside.statistics().dropped + this.outside.statistics().dropped;
    this.publish();
  }

  /** Called with each check. */
  private isBlind(): boolean {
    const state = this.recognition.check(this.counts.read(), this.table.matched, this.shift);
    if (state === 'recognises') memory.mend();
    return state === 'blind';
  }
}

function run(): void {
  const { ingress, egress, invariant } = data;
  let ready = false;
  let way = 0;
  let blind = false;
  let totals: TapStatistics | undefined;
  const reportReady = () => {
    if (!ready) parentPort!.postMessage('ready');
    ready = true;
  };
  for (;;) {
    try {
      const tap = new Tap(DIRECTIONS[way]!, totals);
      try {
        reportReady();
        if (!blind) memory.mend();
        if (tap.run() === 'stopped') return;
      } finally {
        totals = tap.totals;
        tap.close();
      }
      blind = true;
      way = (way + 1) % DIRECTIONS.length;
      memory.fail(
        `packets pass ${ingress} and ${egress}, but none was recognised on both: ` +
          `the NF is not between them, or changes what is compared (${invariant}), or lets none through`,
      );
    } catch (thrown) {
      const error = asNemoError(thrown);
      if (!ready && !data.patient) throw error;
      memory.fail(error.message);
      reportReady();
      blind = false;
      if (memory.pause(TAP.retryMs)) return;
    }
  }
}

try {
  insideNamespace(`/proc/${byDescriptor(data.directory)}/ns/net`, run);
} catch (thrown) {
  const { code = '' } = thrown as NodeJS.ErrnoException;
  const error = ['ENOENT', 'ESRCH'].includes(code)
    ? new NemoError('NOT_FOUND', 'the NF is gone')
    : asNemoError(thrown);
  memory.fail(error.message);
  parentPort!.postMessage(error.toJSON());
}
