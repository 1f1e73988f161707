/** What the manager keeps of one NF, and what that means: may its cores be harvested, and what the feed shows of it. */

import type { ControlNf, NfStats } from '../control/messages.js';
import type { Standing } from '../linux/cgroup/standing.js';
import { queueInodes } from '../linux/listening.js';
import { type Board, Core } from '../model/board.js';
import type { FeedNf } from '../model/feed.js';
import type { NfInstance, NfProfile } from '../model/nf-profile.js';
import type { LatencySourceSpec } from '../nf/latency/open.js';
import type { Measurements } from '../nf/measurements.js';
import { fifoPriorityOf } from '../nf/protection.js';
import { sloNote } from '../nf/slo-note.js';
import { realTimeRatio, standingNotes } from '../nf/standing.js';
import type { Telemetry } from '../nf/telemetry/telemetry.js';
import { GATE } from '../tunables/index.js';

export interface ManagedNf {
  nf: NfInstance;
  /** Its packet threads are bound to function cores. */
  bound: boolean;
  /** The other agent of this box to which it belongs; undefined: it is ours. */
  guardedBy: string | undefined;
  protection: string;
  /** Why it is not protected as it should be, for now. */
  unprotected: string | undefined;
  stats: NfStats | undefined;
  measurements: Measurements;
  /** A poll-mode NF that sleeps now, because it was asked to. */
  sleeps: boolean;
  /** It polls on, and its cores are to be lent in slices. */
  gate: boolean;
  /** Why nothing of its cores is harvested. */
  refusal: string | undefined;
  /** What its cgroups let it have. */
  standing: Standing;
  /** Why its cgroups leave no room for functions beside it. */
  groupRefusal: string | undefined;
}

export function mayHarvest({ nf, bound, guardedBy, groupRefusal, unprotected }: ManagedNf): boolean {
  const refused = guardedBy ?? groupRefusal ?? unprotected;
  return nf.profile.harvest && bound && refused === undefined;
}

/** A polling core reads 100 % busy: SCHED_IDLE functions would get nothing of it. */
function isHarvested(managed: ManagedNf): boolean {
  const { nf, sleeps, gate } = managed;
  return mayHarvest(managed) && (nf.profile.mode === 'sleep' || sleeps || gate);
}

export function feedOf(managed: ManagedNf, board: Board): FeedNf {
  const { nf, protection, stats, sleeps, measurements, standing } = managed;
  const harvest = harvestOf(managed, (core) => board.get(core, Core.gated) === 1);
  const throttledPerS = stats?.throttledPerS ?? 0;
  const notes = standingNotes(standing, throttledPerS);
  const fault = latencyFault(managed);
  const p99Us = stats?.p99Us ?? null;
  const busyRatio = stats?.busyRatio ?? 0;
  const sloHeld = p99Us === null ? null : p99Us <= nf.profile.sloP99Us;
  return {
    id: nf.id,
    profile: nf.profile.name,
    pid: nf.pid,
    state: 'running',
    mode: sleeps ? 'sleep' : nf.profile.mode,
    cores: nf.cores,
    threads: nf.threads.map(({ tid, name, packet, cores }) => ({ tid, name, packet, core: cores[0] ?? -1 })),
    harvest,
    protection,
    latencySource: nf.profile.latency.source,
    p50Us: stats?.p50Us ?? null,
    p99Us,
    p999Us: stats?.p999Us ?? null,
    sloUs: nf.profile.sloP99Us,
    sloHeld,
    ...(sloHeld === false
      ? { sloNote: sloNote(board, { cores: nf.cores, notHarvested: harvest.why, throttledPerS }) }
      : {}),
    ...(fault === undefined ? {} : { latencyFault: fault }),
    ...(notes.length === 0 ? {} : { groups: notes }),
    busyRatio,
    spareRatio: Math.max(0, 1 - busyRatio),
    ...(stats === undefined ? {} : { queues: stats.queues }),
    ...(measurements.telemetry === undefined ? {} : { telemetry: telemetryOf(measurements.telemetry) }),
  };
}

/** Why nothing is known of its packets, though its profile says how they are measured. */
function latencyFault({ nf, stats, measurements }: ManagedNf): string | undefined {
  if (nf.profile.latency.source === 'none') return undefined;
  return measurements.fault ?? stats?.fault ?? undefined;
}

function harvestOf(
  { nf, bound, guardedBy, sleeps, gate, refusal, groupRefusal, unprotected }: ManagedNf,
  isGated: (core: number) => boolean,
): NonNullable<FeedNf['harvest']> {
  if (!nf.profile.harvest) return { how: 'not', why: 'its profile says harvest: false' };
  if (!bound) return { how: 'not', why: 'its packet threads are not bound to function cores' };
  if (guardedBy !== undefined) return { how: 'not', why: `it belongs to the agent ${guardedBy}` };
  const why = groupRefusal ?? unprotected;
  if (why !== undefined) return { how: 'not', why };
  if (nf.profile.mode === 'sleep') return { how: 'sleep' };
  if (sleeps) return { how: 'asked to sleep' };
  if (gate && nf.cores.every(isGated)) return { how: 'slices' };
  return { how: 'not', why: refusal ?? 'it polls, and its gate is not there yet' };
}

function telemetryOf(telemetry: Telemetry): NonNullable<FeedNf['telemetry']> {
  const { fault } = telemetry;
  const { packetsPerS, dropsPerS, busyRatio, drops } = telemetry.statistics();
  const known = (value: number) => (fault !== undefined || Number.isNaN(value) ? null : value);
  return {
    packetsPerS: known(packetsPerS),
    dropsPerS: known(dropsPerS),
    busyRatio: known(busyRatio),
    drops,
    ...(fault === undefined ? {} : { fault }),
  };
}

/** Why a profile does not let its cores be lent in slices; undefined: it does. */
export function slicesRefusedBy({ slices, sloP99Us }: NfProfile): string | undefined {
  if (slices !== true) return 'its profile does not allow slices (slices: true)';
  const least = (GATE.sliceMinUs + GATE.overshootUs + GATE.switchUs) / GATE.sloShare;
  if (sloP99Us === 0 || sloP99Us >= least) return undefined;
  return `its SLO of ${sloP99Us} us leaves no room for slices: that takes ${Math.ceil(least)} us`;
}

/** What the control thread reads its latency from; undefined: nothing, or nothing yet. */
function sourceOf({ nf, measurements }: ManagedNf, packetTids: number[]): LatencySourceSpec | undefined {
  const { source } = nf.profile.latency;
  switch (source) {
    case 'reported':
      return { kind: source, pid: nf.pid, uid: nf.uid };
    case 'runqueue':
      return { kind: source, pid: nf.pid, tids: packetTids };
    case 'tap':
    case 'probe':
      return measurements.tap && { kind: source, shared: measurements.tap.shared };
    case 'none':
      return undefined;
  }
}

/** As the control thread needs it. */
export function controlNfOf(managed: ManagedNf): ControlNf {
  const { nf, bound, sleeps, gate, measurements, standing } = managed;
  const packetTids = nf.threads.filter((thread) => thread.packet).map((thread) => thread.tid);
  return {
    id: nf.id,
    pid: nf.pid,
    cores: bound ? nf.cores : [],
    tids: nf.threads.map((thread) => thread.tid),
    packetTids,
    fifoPriority: fifoPriorityOf(managed.protection),
    realTimeRatio: realTimeRatio(standing, Math.ceil(packetTids.length / Math.max(1, nf.cores.length))),
    quotaStatPaths: standing.quotaStatPaths,
    sloUs: nf.profile.sloP99Us,
    harvest: isHarvested(managed),
    gate,
    softirq: nf.profile.match.kernel !== undefined,
    socketInodes: [...queueInodes(nf.pid)],
    // What runs while it polls says nothing; what runs while it sleeps between packets says all.
    telemetry: measurements.telemetry?.shared,
    polls: nf.profile.mode === 'poll' && !sleeps,
    source: sourceOf(managed, packetTids),
  };
}
