/** What a scan found out beside NFs, for whoever runs the box: each thing once, however often it is seen. */

import { NF } from '../tunables/index.js';
import type { Discovery } from './discovery.js';
import { distrustText } from './identity.js';

export class ScanWarnings {
  private readonly saidAmbiguous = new Set<string>();
  private readonly saidRefused = new Set<string>();

  constructor(
    private readonly discovery: Discovery,
    private readonly warn: (message: string) => void,
  ) {}

  /** Of the last scan. */
  say(): void {
    const { ambiguous, ended, refused } = this.discovery;
    for (const message of ambiguous) {
      if (!this.saidAmbiguous.has(message)) this.warn(`${message}; they are left alone`);
    }
    this.saidAmbiguous.clear();
    for (const message of ambiguous) this.saidAmbiguous.add(message);
    for (const message of ended.splice(0)) this.warn(message);
    for (const [pid, { profile, why }] of refused) {
      // Whoever may start processes may start many: one of a kind is told, and not many kinds.
      const kind = `${profile} ${why.kind}`;
      if (this.saidRefused.has(kind) || this.saidRefused.size >= NF.refusalsToldMax) continue;
      this.saidRefused.add(kind);
      this.warn(distrustText(pid, profile, why));
    }
  }
}
