/**
 * How the cores of poll-mode NFs come to be harvested: the NF is asked to sleep while its queues are empty, and where it
 * cannot, its core is lent in slices. Until one of the two works, nothing of the core is harvested.
 */

import type { GateEvent } from '../control/gates.js';
import type { NfInstance } from '../model/nf-profile.js';
import type { SleepControls } from '../nf/sleep-control.js';
import { type ManagedNf, slicesRefusedBy } from './managed-nf.js';

export interface PollingNfsOptions {
  managed: ReadonlyMap<string, ManagedNf>;
  /** Undefined: poll-mode NFs are not asked to sleep. */
  sleepControls: SleepControls | undefined;
  /** Why cores that poll may not be lent in slices; undefined: they may. */
  slicesRefused: string | undefined;
  /** Some NF may be harvested in another way than before. */
  onChange: () => void;
  onFound: (nf: NfInstance, message: string) => void;
  onWarning: (message: string) => void;
}

export class PollingNfs {
  constructor(private readonly options: PollingNfsOptions) {}

  /** Its own controls answer in milliseconds at best; its core is not harvested before. */
  async askToSleep({ nf }: ManagedNf): Promise<void> {
    const { sleepControls, managed: all, onFound, onChange } = this.options;
    const why = 'this host has no way';
    const report = (await sleepControls?.apply(nf)) ?? { sleeps: false, message: why };
    // Its threads may have changed meanwhile, which makes another record of it.
    const managed = all.get(nf.id);
    if (managed === undefined) return sleepControls?.release(nf.id);
    managed.sleeps = report.sleeps;
    if (report.sleeps) onFound(nf, `${nf.id} sleeps when it is idle: ${report.message}`);
    else this.useSlices(managed, report.message);
    onChange();
  }

  /** The second way; `because` tells why the first one did not work. */
  private useSlices(managed: ManagedNf, because: string): void {
    const refusal = this.options.slicesRefused ?? slicesRefusedBy(managed.nf.profile);
    if (refusal === undefined) managed.gate = true;
    else this.refuse(managed, `${because}, and ${refusal}`);
  }

  /** A gate works, or has failed. */
  onGateMessage({ core, failure }: GateEvent): void {
    for (const managed of this.options.managed.values()) {
      const { nf, gate } = managed;
      if (!gate || !nf.cores.includes(core)) continue;
      if (failure === undefined) {
        this.options.onFound(nf, `${nf.id} polls: core ${core} is lent in slices`);
      } else {
        managed.gate = false;
        this.refuse(managed, `core ${core} cannot be lent in slices here: ${failure}`);
        this.options.onChange();
      }
    }
  }

  private refuse(managed: ManagedNf, reason: string): void {
    managed.refusal = reason;
    this.options.onWarning(`${managed.nf.id} polls, and nothing of its core is harvested: ${reason}`);
  }
}
