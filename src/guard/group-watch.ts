/**
 * Follows what the cgroups of NFs let them have: weight, CPU quota, real-time budget. Groups are their owners', who move
 * threads and change limits as they like, so all of it is read again now and then, and its effects are reported.
 */

import { standingOfNf, weightRefusal } from '../nf/standing.js';
import { NF } from '../tunables/index.js';
import type { ManagedNf } from './managed-nf.js';

export interface GroupWatchOptions {
  /** Without protection of NFs, the weights of their groups do not matter. */
  protecting: boolean;
  /** Functions have to leave the core. */
  onExcluded: (core: number) => void;
  onWarning: (message: string) => void;
}

export class GroupWatch {
  private readonly saidQuota = new Set<string>();
  private readMs = performance.now();

  constructor(private readonly options: GroupWatchOptions) {}

  /** Decides whether functions may run beside an NF of that weight. Call it again when its protection changes. */
  judge(managed: ManagedNf): void {
    const { nf, protection, standing } = managed;
    const before = managed.groupRefusal;
    managed.groupRefusal = weightRefusal(standing, /^(fifo|own):/.test(protection));
    if (managed.groupRefusal === undefined || managed.groupRefusal === before) return;
    this.options.onWarning(`nothing of the core of ${nf.id} is harvested: ${managed.groupRefusal}`);
    for (const core of nf.cores) this.options.onExcluded(core);
  }

  /** Reads the groups again, if the last time is long enough ago. True: some changed. */
  follow(all: Iterable<ManagedNf>): boolean {
    if (performance.now() - this.readMs < NF.standingMs) return false;
    this.readMs = performance.now();
    let changed = false;
    for (const managed of all) {
      const standing = standingOfNf(managed.nf);
      if (JSON.stringify(standing) === JSON.stringify(managed.standing)) continue;
      managed.standing = standing;
      if (this.options.protecting) this.judge(managed);
      changed = true;
    }
    return changed;
  }

  /** Warns once for each NF, when its quota stops it. */
  reportQuota({ nf, stats, standing }: ManagedNf): void {
    if ((stats?.throttledPerS ?? 0) <= 0 || this.saidQuota.has(nf.id)) return;
    this.saidQuota.add(nf.id);
    const { group, cores } = standing.quota ?? { group: 'above it', cores: 0 };
    this.options.onWarning(
      `the cgroup ${group} of ${nf.id} has a CPU quota of ${cores} cores and has used it up: packets wait for ` +
        'the next period, whether functions run or not (raise its cpu.cfs_quota_us or cpu.max)',
    );
  }

  forget(nfId: string): void {
    this.saidQuota.delete(nfId);
  }
}
