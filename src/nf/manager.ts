/**
 * The NFs of this box: follows discovery, protects packet threads, opens latency sources and tells the control
 * thread. An NF whose packet threads are not bound to function cores is watched, but nothing is harvested for it.
 */

import { Core } from '../control/board.js';
import type { Control } from '../control/control.js';
import type { GateEvent } from '../control/gates.js';
import type { ControlNf, NfStats } from '../control/messages.js';
import { asNemoError, NemoError } from '../errors.js';
import type { EventLog } from '../gateway/platform.js';
import { queueInodes } from '../linux/listening.js';
import { onlineCores } from '../linux/online-cores.js';
import { type CoreFacts, readTopology } from '../linux/topology.js';
import type { FeedNf } from '../telemetry/feed.js';
import { GATE } from '../tunables.js';
import { CoreKeeper } from './core-keeper.js';
import { Discovery } from './discovery.js';
import type { LatencySourceSpec } from './latency/open.js';
import type { ExplicitNf } from './match.js';
import { Measurements } from './measurements.js';
import type { NfInstance, NfProfile } from './profile.js';
import type { NfProtection } from './protection.js';
import type { SleepControls } from './sleep-control.js';
import type { Telemetry } from './telemetry/telemetry.js';
import { type NfChange, NfWatcher } from './watcher.js';

export interface NfManagerOptions {
  control: Control;
  events: EventLog;
  profiles: readonly NfProfile[];
  explicit: readonly ExplicitNf[];
  /** Also find NFs by profile that `explicit` does not name. */
  discovery: boolean;
  functionCores: readonly number[];
  /** Which of them may be used. */
  allowSmtSiblings: boolean;
  topology?: () => CoreFacts[];
  /** Functions have to leave the core. */
  onBarred: (core: number) => void;
  /** Undefined: packet threads keep their own scheduling. */
  protection: NfProtection | undefined;
  /** Undefined: poll-mode NFs are not asked to sleep. */
  sleepControls: SleepControls | undefined;
  /** Why cores that poll may not be lent in slices; undefined: they may. */
  slicesRefused: string | undefined;
  periodMs: number;
}

interface Managed {
  nf: NfInstance;
  protection: string;
  stats: NfStats | undefined;
  measurements: Measurements;
  /** A poll-mode NF that sleeps now, because it was asked to. */
  sleeps: boolean;
  /** It polls on, and its cores are to be lent in slices. */
  gate: boolean;
  /** Why nothing of its cores is harvested. */
  refusal: string | undefined;
}

export class NfManager {
  private readonly managed = new Map<string, Managed>();
  private readonly discovery: Discovery;
  private readonly watcher: NfWatcher;
  private readonly saidAmbiguous = new Set<string>();
  private readonly cores: CoreKeeper;
  private coreTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: NfManagerOptions) {
    this.discovery = new Discovery(options.profiles, options.explicit, options.discovery);
    this.watcher = new NfWatcher(
      this.discovery,
      (change) => this.changed(change),
      (thrown) => this.warn(asNemoError(thrown).message),
    );
    this.cores = new CoreKeeper({
      functionCores: options.functionCores,
      allowSmtSiblings: options.allowSmtSiblings,
      topology: options.topology ?? readTopology,
      onWarning: (message) => this.warn(message),
      onBarred: options.onBarred,
    });
    options.control.on('nf-stats', (stats) => {
      for (const one of stats) {
        const managed = this.managed.get(one.id);
        if (managed !== undefined) managed.stats = one;
      }
      for (const { measurements } of this.managed.values()) measurements.sayFaults();
    });
    options.control.on('gate', (event) => this.hearGate(event));
  }

  /** Throws BAD_CONFIG for an entry that is meant for one process but matches several. */
  start(): void {
    this.watcher.start(this.options.periodMs);
    const [ambiguous] = this.discovery.ambiguous;
    if (ambiguous !== undefined) throw new NemoError('BAD_CONFIG', ambiguous);
    this.tellControl();
    // The topology is many files, the list of online cores one.
    let online = String(onlineCores());
    this.coreTimer = setInterval(() => {
      const now = String(onlineCores());
      if (now !== online) this.tellControl();
      for (const message of this.discovery.ambiguous) {
        if (!this.saidAmbiguous.has(message)) this.warn(`${message}; they are left alone`);
      }
      this.saidAmbiguous.clear();
      for (const message of this.discovery.ambiguous) this.saidAmbiguous.add(message);
      online = now;
    }, this.options.periodMs).unref();
  }

  private changed(change: NfChange): void {
    const { nf } = change;
    switch (change.kind) {
      case 'gone':
        this.drop(nf);
        this.say('nf-gone', 'warning', nf, `${nf.id} ended`);
        break;
      case 'restarted':
        this.drop(change.before);
        this.adopt(nf);
        this.say('nf-found', 'warning', nf, `${change.before.id} was restarted as ${nf.id}`);
        break;
      case 'appeared':
        this.adopt(nf);
        this.say('nf-found', 'info', nf, `${nf.id} found on ${coresText(nf)}, ${nf.profile.mode} mode`);
        break;
      case 'changed':
        this.adopt(nf);
        this.say('nf-found', 'info', nf, `${nf.id} changed its threads or cores: now on ${coresText(nf)}`);
        break;
    }
    this.tellControl();
  }

  private adopt(nf: NfInstance): void {
    const known = this.managed.get(nf.id);
    const managed: Managed = {
      nf,
      protection: 'none',
      stats: known?.stats,
      measurements: known?.measurements ?? this.measure(nf),
      sleeps: known?.sleeps ?? false,
      gate: known?.gate ?? false,
      refusal: known?.refusal,
    };
    this.managed.set(nf.id, managed);
    if (known === undefined && this.mayHarvest(nf) && nf.profile.mode === 'poll')
      void this.askToSleep(managed);
    const { protection } = this.options;
    if (protection === undefined) return;
    const report = protection.protect(nf);
    managed.protection = report.applied;
    for (const warning of report.warnings) this.warn(warning);
    if (report.applied !== 'none') {
      this.say('nf-protected', 'info', nf, `packet threads of ${nf.id} run at ${report.applied}`);
    }
  }

  private drop(nf: NfInstance): void {
    void this.managed.get(nf.id)?.measurements.close();
    this.managed.delete(nf.id);
    this.options.protection?.release(nf.id);
    void this.options.sleepControls?.release(nf.id);
  }

  /** Its own controls answer in milliseconds at best; its core is not harvested before. */
  private async askToSleep({ nf }: Managed): Promise<void> {
    const why = 'this host has no way';
    const report = (await this.options.sleepControls?.apply(nf)) ?? { sleeps: false, message: why };
    // Its threads may have changed meanwhile, which makes another record of it.
    const managed = this.managed.get(nf.id);
    if (managed === undefined) return this.options.sleepControls?.release(nf.id);
    managed.sleeps = report.sleeps;
    if (report.sleeps) this.say('nf-found', 'info', nf, `${nf.id} sleeps when it is idle: ${report.message}`);
    else this.useSlices(managed, report.message);
    this.tellControl();
  }

  /** The second way; `because` tells why the first one did not work. */
  private useSlices(managed: Managed, because: string): void {
    const refusal = this.options.slicesRefused ?? slicesRefusedBy(managed.nf.profile);
    if (refusal === undefined) managed.gate = true;
    else this.refuse(managed, `${because}, and ${refusal}`);
  }

  private hearGate({ core, failure }: GateEvent): void {
    for (const managed of this.managed.values()) {
      const { nf, gate } = managed;
      if (!gate || !nf.cores.includes(core)) continue;
      if (failure === undefined) {
        this.say('nf-found', 'info', nf, `${nf.id} polls: core ${core} is lent in slices`);
      } else {
        managed.gate = false;
        this.refuse(managed, `core ${core} cannot be lent in slices here: ${failure}`);
        this.tellControl();
      }
    }
  }

  private refuse(managed: Managed, reason: string): void {
    managed.refusal = reason;
    this.warn(`${managed.nf.id} polls, and nothing of its core is harvested: ${reason}`);
  }

  private isBound(nf: NfInstance): boolean {
    return nf.cores.length > 0 && nf.cores.every((core) => this.options.functionCores.includes(core));
  }

  private mayHarvest(nf: NfInstance): boolean {
    return nf.profile.harvest && this.isBound(nf);
  }

  private tellControl(): void {
    const managed = [...this.managed.values()];
    this.cores.look(
      new Map(managed.flatMap(({ nf }) => nf.cores.map((core): [number, string] => [core, nf.id]))),
    );
    this.options.control.setNfs(
      managed.map((one) => this.forControl(one)),
      this.cores.barred,
    );
  }

  private forControl({ nf, sleeps, gate, measurements }: Managed): ControlNf {
    const packetTids = nf.threads.filter((thread) => thread.packet).map((thread) => thread.tid);
    return {
      id: nf.id,
      pid: nf.pid,
      cores: this.isBound(nf) ? nf.cores : [],
      tids: nf.threads.map((thread) => thread.tid),
      packetTids,
      sloUs: nf.profile.sloP99Us,
      // A polling core reads 100 % busy: SCHED_IDLE functions would get nothing of it.
      harvest: this.mayHarvest(nf) && (nf.profile.mode === 'sleep' || sleeps || gate),
      gate,
      softirq: nf.profile.match.kernel !== undefined,
      socketInodes: [...queueInodes(nf.pid)],
      // What runs while it polls says nothing; what runs while it sleeps between packets says all.
      telemetry: nf.profile.mode === 'poll' && !sleeps ? measurements.telemetry?.shared : undefined,
      source: this.sourceFor(nf, packetTids),
    };
  }

  private sourceFor(nf: NfInstance, packetTids: number[]): LatencySourceSpec | undefined {
    switch (nf.profile.latency.source) {
      case 'reported':
        return { kind: 'reported', pid: nf.pid };
      case 'runqueue':
        return { kind: 'runqueue', pid: nf.pid, tids: packetTids };
      case 'tap':
      case 'probe': {
        const tap = this.managed.get(nf.id)?.measurements.tap;
        return tap === undefined ? undefined : { kind: nf.profile.latency.source, shared: tap.shared };
      }
      case 'none':
        return undefined;
    }
  }

  private measure(nf: NfInstance): Measurements {
    return new Measurements(nf, {
      board: this.options.control.board.shared,
      onReady: () => this.tellControl(),
      onWarning: (message) => this.warn(message),
    });
  }

  feed(): FeedNf[] {
    return [...this.managed.values()].map((managed) => {
      const { nf, protection, stats, sleeps, measurements } = managed;
      const p99Us = stats?.p99Us ?? null;
      const busyRatio = stats?.busyRatio ?? 0;
      return {
        id: nf.id,
        profile: nf.profile.name,
        pid: nf.pid,
        state: 'running',
        mode: sleeps ? 'sleep' : nf.profile.mode,
        cores: nf.cores,
        threads: nf.threads.map(({ tid, name, packet, cores }) => ({
          tid,
          name,
          packet,
          core: cores[0] ?? -1,
        })),
        harvest: this.harvestOf(managed),
        protection,
        latencySource: nf.profile.latency.source,
        p50Us: stats?.p50Us ?? null,
        p99Us,
        p999Us: stats?.p999Us ?? null,
        sloUs: nf.profile.sloP99Us,
        sloHeld: p99Us === null ? null : p99Us <= nf.profile.sloP99Us,
        busyRatio,
        spareRatio: Math.max(0, 1 - busyRatio),
        ...(stats === undefined ? {} : { queues: stats.queues }),
        ...(measurements.telemetry === undefined ? {} : { telemetry: telemetryOf(measurements.telemetry) }),
      };
    });
  }

  private harvestOf({ nf, sleeps, gate, refusal }: Managed): NonNullable<FeedNf['harvest']> {
    if (!nf.profile.harvest) return { how: 'not', why: 'its profile says harvest: false' };
    if (!this.isBound(nf)) return { how: 'not', why: 'its packet threads are not bound to function cores' };
    if (nf.profile.mode === 'sleep') return { how: 'sleep' };
    if (sleeps) return { how: 'asked to sleep' };
    const { board } = this.options.control;
    if (gate && nf.cores.every((core) => board.get(core, Core.gated) === 1)) return { how: 'slices' };
    return { how: 'not', why: refusal ?? 'it polls, and its gate is not there yet' };
  }

  async stop(): Promise<void> {
    this.watcher.stop();
    clearInterval(this.coreTimer);
    await Promise.all([...this.managed.values()].map(({ measurements }) => measurements.close()));
    for (const { nf } of this.managed.values()) this.options.protection?.release(nf.id);
    await this.options.sleepControls?.close();
  }

  private warn(message: string): void {
    this.options.events.emit({ kind: 'warning', severity: 'warning', message });
  }

  private say(
    kind: 'nf-found' | 'nf-gone' | 'nf-protected',
    severity: 'info' | 'warning',
    nf: NfInstance,
    message: string,
  ): void {
    this.options.events.emit({ kind, severity, message, nf: nf.id });
  }
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

function slicesRefusedBy({ slices, sloP99Us }: NfProfile): string | undefined {
  if (slices !== true) return 'its profile does not allow slices (slices: true)';
  const least = (GATE.sliceMinUs + GATE.overshootUs + GATE.switchUs) / GATE.sloShare;
  if (sloP99Us === 0 || sloP99Us >= least) return undefined;
  return `its SLO of ${sloP99Us} us leaves no room for slices: that takes ${Math.ceil(least)} us`;
}

function coresText(nf: NfInstance): string {
  return nf.cores.length === 0 ? 'no core of its own' : `core ${nf.cores.join(', ')}`;
}
