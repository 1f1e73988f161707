import { expect } from 'chai';
import type { CallTrace } from '../../../src/model/call-trace.js';
import { NemoError } from '../../../src/model/errors.js';
import type { ActiveCall, PendingCall } from '../../../src/pool/calls.js';
import type { Instance } from '../../../src/pool/instance.js';
import { CallTraces } from '../../../src/telemetry/traces/call-traces.js';
import { CALLER, callOf } from '../../support/calls.js';

const PARENT = { text: 'tp', traceId: 't', parentId: 'p', flags: 1 };
const STAGES = ['queuedMs', 'startMs', 'turnMs', 'runMs', 'replyMs'] as const;

describe('call traces', () => {
  let cpuNs = 0;
  const worker = {
    id: 'sb-7',
    core: 3,
    askedMs: Number.NaN,
    warmSinceMs: Number.POSITIVE_INFINITY,
    cgroup: { usage: () => ({ cpuNs, memoryBytes: 9_000, pids: 1 }), handle: {} },
  } as Instance;
  const pending = (callId: string, agoMs = 40): PendingCall =>
    ({
      request: callOf('f', { callId, traceparent: PARENT }),
      acceptedMs: performance.now() - agoMs,
    }) as unknown as PendingCall;
  const active = (callId: string, change: Partial<ActiveCall> = {}): ActiveCall => {
    const call = pending(callId);
    const at = (ms: number) => call.acceptedMs + ms;
    return {
      ...call,
      answered: true,
      dispatchedMs: at(10),
      runningMs: at(15),
      firstByteMs: at(35),
      start: 'warm',
      ...change,
    } as ActiveCall;
  };
  const sum = (trace: CallTrace): number => STAGES.reduce((total, stage) => total + trace[stage], 0);

  it('split the time of a call into stages that add up', () => {
    const traces = new CallTraces();
    traces.ended('f', active('a'), worker);
    const [trace] = traces.last('f', 5) as [CallTrace];
    expect(trace).to.include({
      callId: 'a',
      core: 3,
      sandboxId: 'sb-7',
      start: 'warm',
      error: null,
      traceparent: PARENT.text,
      source: 'http',
      caller: CALLER.name,
      mode: 'sync',
    });
    expect(trace.queuedMs).to.be.closeTo(10, 1e-6);
    expect(trace.startMs).to.equal(0);
    expect(trace.turnMs).to.be.closeTo(5, 1e-6);
    expect(trace.runMs).to.be.closeTo(20, 1e-6);
    expect(trace.totalMs).to.be.closeTo(sum(trace), 1e-6);
  });

  it('tell the start of a sandbox from the wait for a place', () => {
    const traces = new CallTraces();
    const call = active('a', { start: 'cold' });
    const asked = { ...worker, askedMs: call.acceptedMs + 1, warmSinceMs: call.acceptedMs + 8 } as Instance;
    traces.ended('f', call, asked);
    // Begun for a call before it.
    traces.ended('f', call, { ...asked, askedMs: call.acceptedMs - 5 } as Instance);
    // Made ahead, and not ready yet.
    traces.ended('f', call, { ...asked, askedMs: Number.NaN } as Instance);
    const [ahead, early, late] = traces.last('f', 3) as [CallTrace, CallTrace, CallTrace];
    expect([late.startMs, late.queuedMs].map(Math.round)).to.deep.equal([7, 3]);
    expect([early.startMs, early.queuedMs].map(Math.round)).to.deep.equal([8, 2]);
    expect([ahead.startMs, ahead.queuedMs].map(Math.round)).to.deep.equal([0, 10]);
    for (const trace of [ahead, early, late]) expect(trace.totalMs).to.be.closeTo(sum(trace), 1e-6);
  });

  it('give a call that failed before its first byte no reply, and one that never left its queue no core', () => {
    const traces = new CallTraces();
    const error = new NemoError('FUNCTION_TIMEOUT', 'late');
    traces.ended('f', active('a', { answered: false, runningMs: Number.NaN }), worker, error);
    traces.ended('f', pending('b'), undefined, new NemoError('OVERLOADED', 'full'));
    const [b, a] = traces.last('f', 2) as [CallTrace, CallTrace];
    expect(a).to.include({ error: 'FUNCTION_TIMEOUT', replyMs: 0, runMs: 0 });
    expect(b).to.include({ error: 'OVERLOADED', core: -1, sandboxId: '', start: null, turnMs: 0 });
    for (const trace of [a, b]) expect(trace.totalMs).to.be.closeTo(sum(trace), 1e-6);
  });

  it('keep the last calls of each function, newest first, and write over the oldest', () => {
    const traces = new CallTraces({ callsMax: 1_000, callsPerFunction: 3, detailPeriodMs: 0 });
    for (const id of ['a', 'b', 'c', 'd', 'e']) traces.ended('f', active(id), worker);
    traces.ended('g', active('other'), worker);
    const ids = (count: number): string[] => traces.last('f', count).map((trace) => trace.callId);
    expect(ids(10)).to.deep.equal(['e', 'd', 'c']);
    expect(ids(1)).to.deep.equal(['e']);
    traces.forget('f');
    expect(ids(10)).to.deep.equal([]);
    expect(traces.last('g', 9)).to.have.length(1);
  });

  it('are bounded over all functions: the oldest of those with most go', () => {
    const traces = new CallTraces({ callsPerFunction: 50, callsMax: 200, detailPeriodMs: 1e6 });
    traces.ended('rare', active('rare-1'), worker);
    for (let i = 0; i < 1_000; i++) traces.ended(`f${i % 10}`, active(`c-${i}`), worker);
    const kept = Array.from({ length: 10 }, (_, i) => traces.last(`f${i}`, 50).map(({ callId }) => callId));
    expect(kept.flat().length).to.be.within(150, 200);
    for (const [i, ids] of kept.entries()) {
      expect(ids.slice(0, 3)).to.deep.equal([`c-${990 + i}`, `c-${980 + i}`, `c-${970 + i}`]);
    }
    expect(traces.last('rare', 50)).to.have.length(1);
    for (let i = 0; i < 10; i++) traces.forget(`f${i}`);
    for (let i = 0; i < 50; i++) traces.ended('late', active(`l-${i}`), worker);
    expect(traces.last('late', 50)).to.have.length(50);
  });

  it('look at CPU and memory of one call a period', () => {
    const traces = new CallTraces({ callsMax: 1_000, callsPerFunction: 8, detailPeriodMs: 100 });
    const now = performance.now();
    const call = (id: string, atMs: number): void => {
      traces.starting('f', worker, atMs);
      cpuNs += 4e6;
      traces.ended('f', active(id), worker);
    };
    call('a', now);
    call('b', now + 50);
    call('c', now + 101);
    expect(traces.last('f', 3).map(({ cpuMs, memoryBytes }) => [cpuMs, memoryBytes])).to.deep.equal([
      [4, 9_000],
      [null, null],
      [4, 9_000],
    ]);
  });
});
