/**
 * Counts of calls for /metrics. Plain numbers bumped on the hot path and turned into prom-client's form only at
 * a scrape: prom-client's own `observe` hashes its labels on every call.
 */

import type { CallObserver } from '../dispatch/observer.js';
import type { CallHead, CallMode, CallSource, StartKind } from '../model/call.js';
import type { ErrorCode, NemoError } from '../model/errors.js';
import type { ActiveCall, PendingCall } from '../pool/calls.js';
import type { Instance } from '../pool/instance.js';

/** Upper bounds in seconds: a warm no-op takes 0.2 ms, a cold start 100 ms, a timeout 30 s and more. */
export const SECONDS_BOUNDS = [
  0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

/** Calls to names that are no function share one series: callers must not be able to make series. */
export const UNKNOWN_FUNCTION = '(unknown)';

export interface FunctionCounts {
  ok: number;
  failed: Map<ErrorCode, number>;
  /** One entry a bound and one above the last; not cumulative. */
  buckets: Float64Array;
  sumS: number;
  count: number;
}

export class CallCounts implements CallObserver {
  readonly functions = new Map<string, FunctionCounts>();
  readonly starts: Record<StartKind, number> = { cold: 0, stem: 0, warm: 0 };
  /** Where calls came from, and whether somebody waited. */
  readonly sources: Record<CallSource, Record<CallMode, number>> = {
    http: { sync: 0, async: 0 },
    cron: { sync: 0, async: 0 },
    queue: { sync: 0, async: 0 },
  };

  constructor(private readonly isFunction: (name: string) => boolean) {}

  ended(functionName: string, call: PendingCall, instance?: Instance, error?: NemoError): void {
    const { acceptedMs, endedMs, start, request } = call as ActiveCall;
    const answered = instance !== undefined && !Number.isNaN(endedMs);
    const durationS = answered ? (endedMs - acceptedMs) / 1000 : undefined;
    this.record(functionName, error?.code, durationS, answered ? start : undefined);
    this.sources[request.principal.source][request.mode]++;
  }

  refused(functionKey: string, { principal, mode }: CallHead, { code }: NemoError): void {
    this.record(functionKey, code, undefined, undefined);
    this.sources[principal.source][mode]++;
  }

  /** `durationS` and `start` are undefined for calls that have no answer. */
  record(
    functionName: string,
    failure: ErrorCode | undefined,
    durationS: number | undefined,
    start: StartKind | undefined,
  ): void {
    const counts = this.functions.get(functionName) ?? this.open(functionName);
    if (failure === undefined) counts.ok++;
    else counts.failed.set(failure, (counts.failed.get(failure) ?? 0) + 1);
    if (start !== undefined) this.starts[start]++;
    if (durationS === undefined) return;
    let bucket = 0;
    while (bucket < SECONDS_BOUNDS.length && durationS > SECONDS_BOUNDS[bucket]!) bucket++;
    counts.buckets[bucket]!++;
    counts.sumS += durationS;
    counts.count++;
  }

  forget(functionName: string): void {
    this.functions.delete(functionName);
  }

  private open(functionName: string): FunctionCounts {
    const name = this.isFunction(functionName) ? functionName : UNKNOWN_FUNCTION;
    let counts = this.functions.get(name);
    if (counts === undefined) {
      const buckets = new Float64Array(SECONDS_BOUNDS.length + 1);
      counts = { ok: 0, failed: new Map(), buckets, sumS: 0, count: 0 };
      this.functions.set(name, counts);
    }
    return counts;
  }
}
