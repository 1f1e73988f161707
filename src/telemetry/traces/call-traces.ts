/**
 * The time line of every call, kept for the last calls of each function, within one bound over all functions. The record
 * of a call that fell out is written over, so that tracing allocates nothing once the ring is full. CPU time, memory and page faults cost reads of the
 * sandbox's group: they are taken for a few calls a second, and only where nothing else ran in that sandbox meanwhile.
 */

import type { CallObserver } from '../../dispatch/observer.js';
import { readKeyed } from '../../linux/cgroup/files.js';
import type { TraceParent } from '../../model/call.js';
import type { CallTrace } from '../../model/call-trace.js';
import type { NemoError } from '../../model/errors.js';
import type { ActiveCall, PendingCall } from '../../pool/calls.js';
import type { Instance } from '../../pool/instance.js';
import { TRACE } from '../../tunables/index.js';
import { fairLevel } from '../fair-level.js';

/** What a sandbox had used at one moment. */
interface Mark {
  cpuNs: number;
  memoryBytes: number;
  faults: number | null;
}

interface Ring {
  traces: CallTrace[];
  next: number;
  /** Of a function that is there. */
  isKept: boolean;
  /** When the resources of a call may be looked at again. */
  nextDetailMs: number;
}

/** `parent`: the caller's span, if it told one. */
export type TraceListener = (trace: Readonly<CallTrace>, parent: TraceParent | undefined) => void;

export class CallTraces implements CallObserver {
  private readonly rings = new Map<string, Ring>();
  /** Of all rings. */
  private kept = 0;
  private readonly listeners: TraceListener[] = [];
  private readonly marks = new WeakMap<Instance, Mark>();

  /** A ring is kept of what `isFunction`: of one that was removed it would stay for ever. */
  constructor(
    private readonly limits: Record<'callsPerFunction' | 'callsMax' | 'detailPeriodMs', number> = TRACE,
    private readonly isFunction: (name: string) => boolean = () => true,
  ) {}

  starting(functionName: string, worker: Instance, nowMs: number): void {
    const ring = this.ring(functionName);
    if (nowMs < ring.nextDetailMs) return;
    ring.nextDetailMs = nowMs + this.limits.detailPeriodMs;
    const usage = usageOf(worker);
    if (usage !== undefined) this.marks.set(worker, usage);
  }

  ended(functionName: string, call: PendingCall, worker?: Instance, error?: NemoError): void {
    const endedMs = performance.now();
    const trace = this.slot(this.ring(functionName));
    const active = worker === undefined ? undefined : (call as ActiveCall);
    const dispatchedMs = active?.dispatchedMs ?? endedMs;
    // A failed call may have had no turn; an answer's first byte may come before the turn was noted.
    const runningMs = clamp(active?.runningMs ?? endedMs, dispatchedMs, endedMs);
    const firstByteMs = active?.answered ? clamp(active.firstByteMs, runningMs, endedMs) : endedMs;
    const { callId, principal, mode, traceparent } = call.request;
    trace.callId = callId;
    trace.functionName = functionName;
    trace.source = principal.source;
    trace.caller = principal.name;
    trace.mode = mode;
    trace.timeMs = performance.timeOrigin + call.acceptedMs;
    trace.startMs = active === undefined ? 0 : startMsOf(active, worker!);
    trace.queuedMs = dispatchedMs - call.acceptedMs - trace.startMs;
    trace.turnMs = runningMs - dispatchedMs;
    trace.runMs = firstByteMs - runningMs;
    trace.replyMs = endedMs - firstByteMs;
    trace.totalMs = endedMs - call.acceptedMs;
    trace.start = active?.start ?? null;
    trace.core = worker?.core ?? -1;
    trace.sandboxId = worker?.id ?? '';
    trace.error = error?.code ?? null;
    trace.traceparent = traceparent?.text ?? '';
    trace.cpuMs = null;
    trace.memoryBytes = null;
    trace.faults = null;
    if (worker !== undefined) this.addUsage(trace, worker);
    for (const listener of this.listeners) listener(trace, traceparent);
  }

  private addUsage(trace: CallTrace, worker: Instance): void {
    const before = this.marks.get(worker);
    if (before === undefined) return;
    this.marks.delete(worker);
    const usage = usageOf(worker);
    if (usage === undefined) return;
    trace.cpuMs = (usage.cpuNs - before.cpuNs) / 1e6;
    trace.memoryBytes = usage.memoryBytes;
    if (usage.faults !== null && before.faults !== null) trace.faults = usage.faults - before.faults;
  }

  /** The last `count` calls of a function, newest first; copies. */
  last(functionName: string, count: number): CallTrace[] {
    const ring = this.rings.get(functionName);
    if (ring === undefined) return [];
    const { traces, next } = ring;
    const given = Math.min(count, traces.length);
    return Array.from({ length: given }, (_, i) => {
      return { ...traces[(next - 1 - i + 2 * traces.length) % traces.length]! };
    });
  }

  /** Hears of every call, in the turn in which it ended; the record must not be kept. */
  onTrace(listener: TraceListener): void {
    this.listeners.push(listener);
  }

  forget(functionName: string): void {
    this.kept -= this.rings.get(functionName)?.traces.length ?? 0;
    this.rings.delete(functionName);
  }

  private ring(functionName: string): Ring {
    let ring = this.rings.get(functionName);
    if (ring === undefined) {
      ring = { traces: [], next: 0, isKept: this.isFunction(functionName), nextDetailMs: 0 };
      if (ring.isKept) this.rings.set(functionName, ring);
    }
    return ring;
  }

  private slot(ring: Ring): CallTrace {
    const { callsPerFunction, callsMax } = this.limits;
    const at = ring.next % callsPerFunction;
    ring.next = at + 1;
    const old = ring.traces[at];
    if (old !== undefined) return old;
    const trace = {} as CallTrace;
    ring.traces[at] = trace;
    if (ring.isKept && ++this.kept > callsMax) this.trim();
    return trace;
  }

  /** The oldest calls of those with most go. More of them than need be, so that this is rare. */
  private trim(): void {
    const rings = [...this.rings.values()];
    const sizes = rings.map(({ traces }) => traces.length);
    const level = Math.max(1, fairLevel(sizes, this.limits.callsMax * (1 - TRACE.trimRatio)));
    for (const ring of rings) {
      const { traces, next } = ring;
      if (traces.length <= level) continue;
      const oldestFirst = [...traces.slice(next), ...traces.slice(0, next)];
      ring.traces = oldestFirst.slice(-level);
      ring.next = level;
      this.kept -= traces.length - level;
    }
  }
}

/** Of a call that asked for its sandbox; whoever finds it warm waited for a place alone. */
function startMsOf(call: ActiveCall, worker: Instance): number {
  if (call.start === 'warm') return 0;
  const fromMs = clamp(worker.askedMs, call.acceptedMs, call.dispatchedMs);
  return clamp(worker.warmSinceMs, fromMs, call.dispatchedMs) - fromMs;
}

function usageOf(worker: Instance): Mark | undefined {
  const { cgroup, sandbox } = worker;
  try {
    const { cpuNs, memoryBytes } = cgroup.usage();
    // A group of threads has no memory of its own.
    if (sandbox?.heldBytes !== undefined) return { cpuNs, memoryBytes: sandbox.heldBytes, faults: null };
    const { memoryStatPath } = cgroup.handle;
    const faults = memoryStatPath === undefined ? null : readKeyed(memoryStatPath, 'pgfault');
    return { cpuNs, memoryBytes, faults };
  } catch {
    // The sandbox has just ended.
    return undefined;
  }
}

function clamp(value: number, low: number, high: number): number {
  return value >= low ? Math.min(value, high) : Number.isNaN(value) ? high : low;
}
