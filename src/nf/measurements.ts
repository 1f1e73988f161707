/**
 * What is measured of one NF in threads of its own: packet latency by tap or probe, and its own counters. They take some
 * milliseconds to start; the NF is watched without them until then. What fails is said once, until it has worked again.
 */

import { asNemoError, NemoError } from '../errors.js';
import { startProbe } from './latency/probe.js';
import { startTap, type Tap } from './latency/tap.js';
import type { NfInstance } from './profile.js';
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
  private closed = false;
  private readonly said = new Set<string>();
  private readonly starting: Promise<void>;

  constructor(
    private readonly nf: NfInstance,
    private readonly options: MeasurementsOptions,
  ) {
    this.starting = this.start();
  }

  private async start(): Promise<void> {
    const { profile } = this.nf;
    const { source } = profile.latency;
    if (source === 'tap' || source === 'probe') {
      this.tap = await this.attempt(source, () => this.startLatency());
      this.ready();
    }
    if (profile.telemetry !== undefined) {
      this.telemetry = await this.attempt('telemetry', () => startTelemetry(this.nf, profile.telemetry!));
      this.ready();
    }
  }

  private ready(): void {
    if (!this.closed) this.options.onReady();
  }

  private async attempt<T>(what: string, start: () => Promise<T>): Promise<T | undefined> {
    if (this.closed) return undefined;
    try {
      return await start();
    } catch (thrown) {
      this.options.onWarning(`the ${what} of ${this.nf.id} could not start: ${asNemoError(thrown).message}`);
      return undefined;
    }
  }

  private async startLatency(): Promise<Tap> {
    const { nf } = this;
    const { source, ingress, egress, probe, invariant = 'payload-tail' } = nf.profile.latency;
    if (source === 'probe') return startProbe(nf, probe ?? { kind: 'http' }, this.options.board);
    if (ingress !== undefined && egress !== undefined) return startTap({ nf, ingress, egress, invariant });
    throw new NemoError('BAD_PROFILE', 'a tap needs the interfaces `ingress` and `egress`', {
      hint: 'name them in the profile, or in the configuration under nfs: overrides: latency',
    });
  }

  /** Called now and then. */
  sayFaults(): void {
    this.sayFault(this.nf.profile.latency.source, this.tap?.fault);
    this.sayFault('telemetry', this.telemetry?.fault);
  }

  private sayFault(what: string, fault: string | undefined): void {
    if (fault === undefined) this.said.delete(what);
    else if (!this.said.has(what)) {
      this.said.add(what);
      this.options.onWarning(`the ${what} of ${this.nf.id} gives nothing now: ${fault}`);
    }
  }

  async close(): Promise<void> {
    this.closed = true;
    await this.starting;
    await Promise.all([this.tap?.close(), this.telemetry?.close()]);
  }
}
