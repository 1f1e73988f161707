/**
 * The NFs of this box: follows discovery, protects packet threads, opens latency sources and tells the control
 * thread. An NF whose packet threads are not bound to function cores is watched, but nothing is harvested for it.
 */

import type { Control } from '../control/control.js';
import type { ControlNf, NfStats } from '../control/messages.js';
import { asNemoError } from '../errors.js';
import type { EventLog } from '../gateway/platform.js';
import type { FeedNf } from '../telemetry/feed.js';
import { Discovery } from './discovery.js';
import type { LatencySourceSpec } from './latency/open.js';
import { startTap, type Tap } from './latency/tap.js';
import type { ExplicitNf } from './match.js';
import type { NfInstance, NfProfile } from './profile.js';
import type { NfProtection } from './protection.js';
import { type NfChange, NfWatcher } from './watcher.js';

export interface NfManagerOptions {
  control: Control;
  events: EventLog;
  profiles: readonly NfProfile[];
  explicit: readonly ExplicitNf[];
  functionCores: readonly number[];
  /** Undefined: packet threads keep their own scheduling. */
  protection: NfProtection | undefined;
  periodMs: number;
  /** Lend the cores of polling NFs in slices. */
  gate: boolean;
}

interface Managed {
  nf: NfInstance;
  protection: string;
  stats: NfStats | undefined;
  tap: Tap | undefined;
}

export class NfManager {
  private readonly managed = new Map<string, Managed>();
  private readonly watcher: NfWatcher;

  constructor(private readonly options: NfManagerOptions) {
    this.watcher = new NfWatcher(
      new Discovery(options.profiles, options.explicit),
      (change) => this.changed(change),
      (thrown) => this.warn(asNemoError(thrown).message),
    );
    options.control.on('nf-stats', (stats) => {
      for (const one of stats) {
        const managed = this.managed.get(one.id);
        if (managed !== undefined) managed.stats = one;
      }
    });
  }

  start(): void {
    this.watcher.start(this.options.periodMs);
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
    const managed: Managed = { nf, protection: 'none', stats: known?.stats, tap: known?.tap };
    this.managed.set(nf.id, managed);
    if (nf.profile.latency.source === 'tap' && managed.tap === undefined) void this.openTap(managed);
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
    void this.managed.get(nf.id)?.tap?.close();
    this.managed.delete(nf.id);
    this.options.protection?.release(nf.id);
  }

  private tellControl(): void {
    this.options.control.setNfs([...this.managed.values()].map(({ nf }) => this.forControl(nf)));
  }

  private forControl(nf: NfInstance): ControlNf {
    const packetTids = nf.threads.filter((thread) => thread.packet).map((thread) => thread.tid);
    const bound = nf.cores.length > 0 && nf.cores.every((core) => this.options.functionCores.includes(core));
    return {
      id: nf.id,
      pid: nf.pid,
      cores: bound ? nf.cores : [],
      tids: nf.threads.map((thread) => thread.tid),
      sloUs: nf.profile.sloP99Us,
      // A polling core reads 100 % busy: SCHED_IDLE functions get something of it only through a gate.
      harvest: nf.profile.harvest && bound && (nf.profile.mode === 'sleep' || this.options.gate),
      gate: this.options.gate && nf.profile.harvest && bound && nf.profile.mode === 'poll',
      source: this.sourceFor(nf, packetTids),
    };
  }

  private sourceFor(nf: NfInstance, packetTids: number[]): LatencySourceSpec | undefined {
    switch (nf.profile.latency.source) {
      case 'reported':
        return { kind: 'reported', pid: nf.pid };
      case 'runqueue':
        return { kind: 'runqueue', pid: nf.pid, tids: packetTids };
      case 'tap': {
        const tap = this.managed.get(nf.id)?.tap;
        return tap === undefined ? undefined : { kind: 'tap', shared: tap.shared };
      }
      case 'none':
        return undefined;
    }
  }

  /** A tap takes some milliseconds to start; the NF is watched without latency until then. */
  private async openTap(managed: Managed): Promise<void> {
    const { nf } = managed;
    const { ingress, egress, invariant = 'payload-tail' } = nf.profile.latency;
    if (ingress === undefined || egress === undefined) {
      this.warn(
        `the tap of ${nf.id} needs the interfaces ingress and egress in its profile or configuration`,
      );
      return;
    }
    try {
      const tap = await startTap({ pid: nf.pid, ingress, egress, invariant });
      if (this.managed.get(nf.id) !== managed) return await tap.close();
      managed.tap = tap;
      this.tellControl();
    } catch (thrown) {
      this.warn(`the tap of ${nf.id} could not start: ${asNemoError(thrown).message}`);
    }
  }

  feed(): FeedNf[] {
    return [...this.managed.values()].map(({ nf, protection, stats }) => {
      const p99Us = stats?.p99Us ?? null;
      const busyRatio = stats?.busyRatio ?? 0;
      return {
        id: nf.id,
        profile: nf.profile.name,
        pid: nf.pid,
        state: 'running',
        mode: nf.profile.mode,
        cores: nf.cores,
        threads: nf.threads.map(({ tid, name, packet, cores }) => ({
          tid,
          name,
          packet,
          core: cores[0] ?? -1,
        })),
        protection,
        latencySource: nf.profile.latency.source,
        p50Us: stats?.p50Us ?? null,
        p99Us,
        p999Us: stats?.p999Us ?? null,
        sloUs: nf.profile.sloP99Us,
        sloHeld: p99Us === null ? null : p99Us <= nf.profile.sloP99Us,
        busyRatio,
        spareRatio: Math.max(0, 1 - busyRatio),
      };
    });
  }

  async stop(): Promise<void> {
    this.watcher.stop();
    for (const managed of this.managed.values()) await managed.tap?.close();
    for (const { nf } of this.managed.values()) this.options.protection?.release(nf.id);
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
