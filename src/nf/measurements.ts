/**
 * What is measured of one NF in threads of its own: packet latency by tap or probe, and its own counters. They take some
 * milliseconds to start; the NF is watched without them until then. What fails is said once, until it has worked again, and
 * tried again meanwhile: an interface or a namespace may come later than its NF.
 */

import { tcpListeners } from '../linux/listening.js';
import { asNemoError, NemoError } from '../model/errors.js';
import type { NfInstance } from '../model/nf-profile.js';
import { NF } from '../tunables/index.js';
import { startProbe } from './latency/probe.js';
import { startTap, type Tap } from './latency/tap.js';
import { startTelemetry, type Telemetry } from './telemetry/telemetry.js';

export interface MeasurementsOptions {
  /** So that probes are rare while no function runs. */
  board: SharedArrayBuffer;
  /** One of them has started. */
  onReady: () => void;
  onWarning: (message: string) => void;
}

export class Measurements {
  /** Or the probe. */
  tap: Tap | undefined;
  telemetry: Telemetry | undefined;
  /** Why its latency cannot be measured at all, as a message. */
  private refusal: string | undefined;
  private closed = false;
  private readonly said = new Set<string>();
  private readonly since = new Map<string, number>();
  private starting: Promise<void>;
  private retry: NodeJS.Timeout | undefined;

  constructor(
    private readonly nf: NfInstance,
    private readonly options: MeasurementsOptions,
  ) {
    this.starting = this.start();
  }

  private async start(): Promise<void> {
    const { profile } = this.nf;
    const { source } = profile.latency;
    const measured = source === 'tap' || source === 'probe';
    if (measured && this.tap === undefined) {
      this.tap = await this.attempt(source, () => this.startLatency());
      this.ready(this.tap);
    }
    if (profile.telemetry !== undefined && this.telemetry === undefined) {
      this.telemetry = await this.attempt('telemetry', () => startTelemetry(this.nf, profile.telemetry!));
      this.ready(this.telemetry);
    }
    if (this.closed) return;
    const lacksTap = measured && this.tap === undefined;
    if (!lacksTap && (profile.telemetry === undefined || this.telemetry !== undefined)) return;
    const again = () => {
      this.starting = this.start();
    };
    this.retry = setTimeout(again, NF.measureRetryMs).unref();
  }

  private ready(started: unknown): void {
    if (started !== undefined && !this.closed) this.options.onReady();
  }

  /** Why nothing is known about its packets, as far as the measuring threads can tell. */
  get fault(): string | undefined {
    return this.tap === undefined ? this.refusal : this.tap.fault;
  }

  private async attempt<T>(what: string, start: () => Promise<T>): Promise<T | undefined> {
    if (this.closed) return undefined;
    try {
      const started = await start();
      this.said.delete(what);
      if (what !== 'telemetry') this.refusal = undefined;
      return started;
    } catch (thrown) {
      const { message } = asNemoError(thrown);
      if (what !== 'telemetry') this.refusal = message;
      const isNew = !this.said.has(what);
      this.said.add(what);
      if (isNew) this.options.onWarning(`the ${what} of ${this.nf.id} could not start: ${message}`);
      return undefined;
    }
  }

  private async startLatency(): Promise<Tap> {
    const { nf } = this;
    const { source, ingress, egress, probe, invariant = 'payload-tail' } = nf.profile.latency;
    if (source === 'probe') return startProbe(nf, probe ?? { kind: 'http' }, this.options.board);
    if (ingress !== undefined && egress !== undefined) {
      return startTap({ nf, ingress, egress, invariant, patient: true });
    }
    throw new NemoError('BAD_PROFILE', 'a tap needs the interfaces `ingress` and `egress`', {
      hint: 'name them in the profile, or in the configuration under nfs: overrides: latency',
    });
  }

  /** Called now and then; `watched`: what the control loop found wrong with the latency source. */
  reportFaults(watched?: string): void {
    if (this.refusal === undefined)
      this.reportFault(this.nf.profile.latency.source, this.tap?.fault ?? watched);
    if (this.telemetry !== undefined) this.reportFault('telemetry', this.telemetry.fault);
  }

  private reportFault(what: string, fault: string | undefined): void {
    if (fault === undefined) {
      this.said.delete(what);
      this.since.delete(what);
      return;
    }
    const since = this.since.get(what) ?? performance.now();
    this.since.set(what, since);
    // An NF that is ending or being replaced needs no warning, and one that has stopped listening is about to end.
    if (performance.now() - since < NF.faultSaidMs || this.isLeaving(what)) return;
    if (!this.said.has(what)) {
      this.said.add(what);
      this.options.onWarning(`the ${what} of ${this.nf.id} gives nothing now: ${fault}`);
    }
  }

  /** A server that answered, and has closed its listening sockets: it serves what it has, and ends. */
  private isLeaving(what: string): boolean {
    const { pid, profile } = this.nf;
    if (what !== 'probe' || profile.latency.probe?.target !== undefined) return false;
    return (this.tap?.statistics().matched ?? 0) > 0 && tcpListeners(pid).length === 0;
  }

  async close(): Promise<void> {
    this.closed = true;
    clearTimeout(this.retry);
    await this.starting;
    await Promise.all([this.tap?.close(), this.telemetry?.close()]);
  }
}
