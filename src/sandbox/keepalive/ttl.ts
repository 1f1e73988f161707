/** Which idle sandboxes end: those unused for longer than `keepAliveMs`, and under pressure the least recently used. */

export interface KeepAliveEntry {
  id: string;
  functionName: string;
  lastUsedMs: number;
}

export interface KeepAlivePolicy {
  readonly name: string;
  /** `idle` holds only sandboxes that serve nothing. Returns ids to end, at most `idle.length`. */
  expired(idle: readonly KeepAliveEntry[], nowMs: number): string[];
  /** The one to end first when memory is short. */
  victim(idle: readonly KeepAliveEntry[]): string | undefined;
}

/** `keep` sandboxes a function stay whatever their age. */
export function ttlKeepAlive(options: { keepAliveMs: number; keep: number }): KeepAlivePolicy {
  return {
    name: 'ttl',
    expired(idle, nowMs) {
      const kept = new Map<string, number>();
      const out: string[] = [];
      // Most recently used first, so that the ones that stay are the hottest.
      for (const entry of [...idle].sort((a, b) => b.lastUsedMs - a.lastUsedMs)) {
        const stay = kept.get(entry.functionName) ?? 0;
        if (stay < options.keep) kept.set(entry.functionName, stay + 1);
        else if (nowMs - entry.lastUsedMs > options.keepAliveMs) out.push(entry.id);
      }
      return out;
    },
    victim(idle) {
      let oldest: KeepAliveEntry | undefined;
      for (const entry of idle)
        if (oldest === undefined || entry.lastUsedMs < oldest.lastUsedMs) oldest = entry;
      return oldest?.id;
    },
  };
}
