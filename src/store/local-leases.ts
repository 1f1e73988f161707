/**
 * Leases of a store that one process has alone: all holders live in it, and end with it. Only the tokens are kept, so that
 * they grow beyond a restart.
 */

import type { Lease } from './store.js';

/** Makes the next token of a lease: larger than all before. */
type NextToken = (name: string) => Promise<number>;

export class LocalLeases {
  /** When each ends, and whose it is. */
  private readonly held = new Map<string, { untilMs: number; holder: symbol }>();

  constructor(private readonly nextToken: NextToken) {}

  async take(name: string, forMs: number): Promise<Lease | undefined> {
    this.dropEnded();
    if (this.held.has(name)) return undefined;
    const holder = Symbol(name);
    const hold = (): void => void this.held.set(name, { untilMs: performance.now() + forMs, holder });
    const isMine = (): boolean => {
      this.dropEnded();
      return this.held.get(name)?.holder === holder;
    };
    hold();
    let token: number;
    try {
      token = await this.nextToken(name);
    } catch (thrown) {
      this.held.delete(name);
      throw thrown;
    }
    return {
      token,
      renew: async () => {
        if (!isMine()) return false;
        hold();
        return true;
      },
      release: async () => {
        if (isMine()) this.held.delete(name);
      },
    };
  }

  private dropEnded(): void {
    const nowMs = performance.now();
    for (const [name, { untilMs }] of this.held) if (untilMs <= nowMs) this.held.delete(name);
  }
}
