/**
 * The NFs of this box: follows discovery, protects packet threads, opens latency sources and tells the control
 * thread. An NF whose packet threads are not bound to function cores is watched, but nothing is harvested for it.
 */

import type { Control } from '../control/control.js';
import { onlineCores } from '../linux/online-cores.js';
import { startTicks } from '../linux/process.js';
import { readTopology } from '../linux/topology.js';
import type { CoreFacts } from '../model/core-facts.js';
import { asNemoError, NemoError } from '../model/errors.js';
import type { FeedNf } from '../model/feed.js';
import type { NfInstance, NfProfile } from '../model/nf-profile.js';
import type { ExplicitNf } from '../model/nf-profile-schema.js';
import type { EventLog } from '../model/platform.js';
import { CoreKeeper } from '../nf/core-keeper.js';
import { Discovery } from '../nf/discovery.js';
import { Measurements } from '../nf/measurements.js';
import type { NfProtection, ProtectionReport } from '../nf/protection.js';
import { ScanWarnings } from '../nf/scan-warnings.js';
import type { SleepControls } from '../nf/sleep-control.js';
import { standingOfNf } from '../nf/standing.js';
import { type NfChange, NfWatcher } from '../nf/watcher.js';
import type { Claims } from './claims.js';
import { GroupWatch } from './group-watch.js';
import { controlNfOf, feedOf, type ManagedNf, mayHarvest } from './managed-nf.js';
import { PollingNfs } from './polling-nfs.js';
import { SharedNfs } from './shared-nfs.js';

export interface NfManagerOptions {
  control: Control;
  events: EventLog;
  profiles: readonly NfProfile[];
  explicit: readonly ExplicitNf[];
  /** Also find NFs by profile that `explicit` does not name. */
  discovery: boolean;
  /** Users who may run NFs, beside root. */
  users: readonly number[];
  /** Names of the agents of this box: what runs in their cgroups is not an NF. */
  agents: () => ReadonlySet<string>;
  /** Which NFs and cores this agent has, of all agents of the box. */
  claims: Claims;
  functionCores: readonly number[];
  /** Which of them may be used. */
  allowSmtSiblings: boolean;
  /** See `barredCores`. */
  apartFrom?: readonly number[] | undefined;
  topology?: () => CoreFacts[];
  /** Functions have to leave the core. */
  onExcluded: (core: number) => void;
  /** Undefined: packet threads keep their own scheduling. */
  protection: NfProtection | undefined;
  /** Undefined: poll-mode NFs are not asked to sleep. */
  sleepControls: SleepControls | undefined;
  /** Why cores that poll may not be lent in slices; undefined: they may. */
  slicesRefused: string | undefined;
  periodMs: number;
}

export class NfManager {
  private readonly managed = new Map<string, ManagedNf>();
  private readonly discovery: Discovery;
  private readonly watcher: NfWatcher;
  private readonly scanWarnings: ScanWarnings;
  private readonly polling: PollingNfs;
  private readonly shared: SharedNfs;
  private readonly groups: GroupWatch;
  private readonly cores: CoreKeeper;
  private coreTimer: NodeJS.Timeout | undefined;

  constructor(private readonly options: NfManagerOptions) {
    const { profiles, explicit, discovery: byProfile, users, agents, onExcluded } = options;
    const { functionCores, allowSmtSiblings, apartFrom, protection, sleepControls, slicesRefused } = options;
    const onWarning = (message: string): void => this.warn(message);
    this.discovery = new Discovery(profiles, explicit, { byProfile, users, agents });
    this.watcher = new NfWatcher(
      this.discovery,
      (change) => this.changed(change),
      (thrown) => this.warn(asNemoError(thrown).message),
    );
    this.scanWarnings = new ScanWarnings(this.discovery, onWarning);
    this.polling = new PollingNfs({
      ...{ managed: this.managed, sleepControls, slicesRefused, onWarning },
      onChange: () => this.sendToControl(),
      onFound: (nf, message) => this.say('nf-found', 'info', nf, message),
    });
    this.cores = new CoreKeeper({
      ...{ functionCores, allowSmtSiblings, apartFrom, onExcluded, onWarning },
      topology: options.topology ?? readTopology,
    });
    this.shared = new SharedNfs({
      ...{ claims: options.claims, functionCores, protection, onWarning },
      onReceived: (managed) => this.received(managed),
    });
    this.groups = new GroupWatch({ protecting: protection !== undefined, onExcluded, onWarning });
    options.control.on('nf-stats', (stats) => {
      for (const one of stats) {
        const managed = this.managed.get(one.id);
        if (managed !== undefined) managed.stats = one;
      }
      for (const managed of this.managed.values()) {
        managed.measurements.reportFaults(managed.stats?.fault ?? undefined);
        this.groups.reportQuota(managed);
      }
    });
    options.control.on('gate', (event) => this.polling.onGateMessage(event));
  }

  private get all(): ManagedNf[] {
    return [...this.managed.values()];
  }

  /** Throws BAD_CONFIG for an entry that is meant for one process but matches several. */
  start(): void {
    this.watcher.start(this.options.periodMs);
    const [ambiguous] = this.discovery.ambiguous;
    if (ambiguous !== undefined) throw new NemoError('BAD_CONFIG', ambiguous);
    this.sendToControl();
    // The topology is many files, the list of online cores one.
    let online = String(onlineCores());
    this.coreTimer = setInterval(() => {
      const now = String(onlineCores());
      const moved = this.groups.follow(this.all);
      const protectedNow = this.protectAgain();
      if (this.shared.update(this.all) || moved || protectedNow || now !== online) this.sendToControl();
      online = now;
      for (const { nf } of this.managed.values()) this.options.protection?.followMemory(nf);
      this.scanWarnings.say();
    }, this.options.periodMs).unref();
    this.scanWarnings.say();
  }

  private changed(change: NfChange): void {
    const { nf } = change;
    switch (change.kind) {
      case 'gone':
        this.drop(nf);
        if (startTicks(nf.pid) === nf.startTicks) {
          this.say(
            'nf-gone',
            'info',
            nf,
            `${nf.id} is such an NF no longer: its process goes on as another one`,
          );
        } else this.say('nf-gone', 'warning', nf, `${nf.id} ended`);
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
    this.sendToControl();
  }

  private adopt(nf: NfInstance): void {
    const known = this.managed.get(nf.id);
    const { functionCores } = this.options;
    const managed: ManagedNf = {
      nf,
      bound: nf.cores.length > 0 && nf.cores.every((core) => functionCores.includes(core)),
      guardedBy: known?.guardedBy,
      protection: 'none',
      unprotected: known?.unprotected,
      stats: known?.stats,
      measurements: known?.measurements ?? this.measure(nf),
      sleeps: known?.sleeps ?? false,
      gate: known?.gate ?? false,
      refusal: known?.refusal,
      standing: known?.standing ?? standingOfNf(nf),
      groupRefusal: known?.groupRefusal,
    };
    this.managed.set(nf.id, managed);
    this.shared.update(this.all);
    if (managed.guardedBy === undefined) this.guard(managed, known === undefined);
  }

  /** `anew`: this agent has just begun to guard it. */
  private guard(managed: ManagedNf, anew: boolean): void {
    const { nf } = managed;
    const { protection } = this.options;
    if (protection !== undefined) this.protect(managed, protection);
    if (anew && mayHarvest(managed) && nf.profile.mode === 'poll') void this.polling.askToSleep(managed);
  }

  private protect(managed: ManagedNf, protection: NfProtection): void {
    const { nf, unprotected } = managed;
    let report: ProtectionReport;
    try {
      report = protection.protect(nf);
    } catch (thrown) {
      managed.unprotected = `it cannot be protected: ${asNemoError(thrown).message}`;
      if (unprotected !== undefined) return;
      this.warn(`nothing of the core of ${nf.id} is harvested: ${managed.unprotected}`);
      for (const core of nf.cores) this.options.onExcluded(core);
      return;
    }
    managed.unprotected = undefined;
    managed.protection = report.applied;
    this.groups.judge(managed);
    for (const warning of report.warnings) this.warn(warning);
    if (report.applied !== 'none') {
      this.say('nf-protected', 'info', nf, `packet threads of ${nf.id} run at ${report.applied}`);
    }
  }

  /** Tries again to protect those for which it failed, for example on a full disk. True if it worked for one. */
  private protectAgain(): boolean {
    let done = false;
    for (const managed of this.managed.values()) {
      if (managed.unprotected === undefined || managed.guardedBy !== undefined) continue;
      this.guard(managed, true);
      done ||= managed.unprotected === undefined;
    }
    return done;
  }

  private received(managed: ManagedNf): void {
    const { nf } = managed;
    this.say('nf-found', 'info', nf, `${nf.id} is guarded by this agent now: the other one has left it`);
    this.guard(managed, true);
  }

  private drop(nf: NfInstance): void {
    this.groups.forget(nf.id);
    void this.managed.get(nf.id)?.measurements.close();
    this.managed.delete(nf.id);
    this.options.protection?.release(nf.id);
    void this.options.sleepControls?.release(nf.id);
    this.shared.update(this.all);
  }

  private sendToControl(): void {
    const managed = this.all;
    this.cores.check(
      new Map(managed.flatMap(({ nf }) => nf.cores.map((core): [number, string] => [core, nf.id]))),
      this.shared.coresOfOthers,
    );
    this.options.control.setNfs(managed.map(controlNfOf), this.cores.barred);
  }

  private measure(nf: NfInstance): Measurements {
    return new Measurements(nf, {
      board: this.options.control.board.shared,
      onReady: () => this.sendToControl(),
      onWarning: (message) => this.warn(message),
    });
  }

  feed(): FeedNf[] {
    const { board } = this.options.control;
    return this.all.map((managed) => feedOf(managed, board));
  }

  async stop(): Promise<void> {
    this.watcher.stop();
    clearInterval(this.coreTimer);
    await Promise.all(this.all.map(({ measurements }) => measurements.close()));
    for (const { nf } of this.managed.values()) this.options.protection?.release(nf.id);
    await this.options.sleepControls?.close();
    this.shared.close();
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

function coresText(nf: NfInstance): string {
  return nf.cores.length === 0 ? 'no core of its own' : `core ${nf.cores.join(', ')}`;
}
