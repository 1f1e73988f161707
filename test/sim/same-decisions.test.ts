/**
 * The simulator decides as the box does: the same calls, against dispatcher, pool and planner in a box whose engine,
 * groups and slots are those of the dispatcher's tests, with limits on time and memory as a box has them.
 */

import { expect } from 'chai';
import fc from 'fast-check';
import { VirtualClock } from '../../src/model/clock.js';
import { createPolicies } from '../../src/policy/policies.js';
import { parsePolicySet } from '../../src/sim/compare.js';
import { SharedCores } from '../../src/sim/shared-cores.js';
import { boxOf } from '../../src/sim/sim-box.js';
import { type Trace, TraceBuilder } from '../../src/sim/trace.js';
import { type SimWatch, World } from '../../src/sim/world.js';
import { InProcessBox, type Outcome, settled, type TestSandbox } from '../dispatch/in-process-box.js';

const MIB = 2 ** 20;
/** Fractions, so that nothing falls on a step of the planner by chance. */
const COSTS = { coldMs: 97.31, stemMs: 10.93, restoreMs: undefined, sandboxBytes: 128 * MIB };

interface Case {
  calls: Array<{ fn: number; gapMs: number; durationMs: number }>;
  policies: string;
  cores: number | undefined;
  capacity: number | undefined;
}

const CASES: fc.Arbitrary<Case> = fc.record({
  calls: fc.array(
    fc.record({
      fn: fc.integer({ min: 0, max: 4 }),
      gapMs: fc.oneof(fc.integer({ min: 0, max: 40 }), fc.integer({ min: 0, max: 9_000 })),
      durationMs: fc.oneof(fc.integer({ min: 1, max: 15 }), fc.integer({ min: 1, max: 3_000 })),
    }),
    { minLength: 5, maxLength: 60 },
  ),
  policies: fc.constantFrom(
    'none+ttl:keepAlive=2s',
    'fixed+ttl:keepAlive=1s',
    'template+lru+least-loaded',
    'reactive:threshold=1+ttl:keepAlive=3s',
    'histogram:samples=2+histogram:samples=2',
    'template+greedy-dual+most-spare',
    'snapshot+ttl',
  ),
  cores: fc.constantFrom(undefined, 1, 2),
  capacity: fc.constantFrom(undefined, 2, 4),
});

function traceOf({ calls }: Case): Trace {
  const builder = new TraceBuilder();
  let atMs = 0;
  for (const [i, { fn, gapMs, durationMs }] of calls.entries()) {
    atMs += gapMs + 0.0137;
    builder.add(`f${fn}`, atMs, durationMs + 0.0011 * (i + 1));
  }
  return builder.finish();
}

/** One line for each decision. */
function recorder(): { log: string[]; watch: SimWatch } {
  const log: string[] = [];
  const at = (ms: number): string => ms.toFixed(4);
  return {
    log,
    watch: {
      calls: {
        starting: (name, { id, core, running }, nowMs) =>
          log.push(`${at(nowMs)} ${name} gets ${id} on core ${core}${running ? '' : ', standby'}`),
        ended(name, { request, sink: _, acceptedMs, ...call }, instance, error) {
          const how = error?.code ?? ('start' in call ? String(call.start) : '');
          log.push(`${at(acceptedMs)} call ${request.callId} of ${name} ended in ${instance?.id}: ${how}`);
        },
      },
      onPrewarm: (what, nowMs) =>
        log.push(`${at(nowMs)} makes ${what.kind === 'warm' ? what.functionKey : `stem ${what.key}`}`),
      onEvicted: (name, id, why, nowMs) => log.push(`${at(nowMs)} ends ${id} of ${name}: ${why}`),
    },
  };
}

async function onTheBox(one: Case, trace: Trace, beginMs: number) {
  const { log, watch } = recorder();
  const { cores, capacity, policies: text } = one;
  const { prewarm, keepAlive, selection = 'mru' } = parsePolicySet(text);
  const clock = new VirtualClock();
  const starts = new SharedCores<() => void>(cores ?? Number.POSITIVE_INFINITY);
  const work = (ms: number) => new Promise<void>((done) => starts.add(clock.nowMs(), ms, done));
  const box = new InProcessBox({
    ...{ clock, watch, prewarm, keepAlive, selection, ...boxOf(cores), stemBytes: COSTS.sandboxBytes },
    ...(capacity === undefined ? {} : { memoryMaxBytes: capacity * COSTS.sandboxBytes }),
  });
  box.starting = ({ willLoad }) => work(willLoad === undefined ? COSTS.coldMs : COSTS.coldMs - COSTS.stemMs);
  box.loading = () => work(COSTS.stemMs);
  const begin = (sandbox: TestSandbox, index: number): void => {
    const { callId } = sandbox.calls[index]!.request;
    clock.after(trace.durationsMs[Number(callId)]!, () => {
      // The next one begins before the end of this one is heard of.
      if (sandbox.calls.length > 1) begin(sandbox, 1);
      sandbox.answer();
    });
  };
  box.onInvoke = (sandbox) => {
    if (sandbox.calls.length === 1) begin(sandbox, 0);
  };
  for (const name of trace.functionNames) box.deploy(name, { memoryBytes: COSTS.sandboxBytes });
  box.planner.start();
  const outcomes: Outcome[] = [];
  const open = () => outcomes.some((call) => call.outcomes.length === 0);
  while (outcomes.length < trace.arrivalsMs.length || open()) {
    const next = outcomes.length;
    const arrivalMs = (trace.arrivalsMs[next] ?? Number.POSITIVE_INFINITY) + beginMs;
    const startMs = starts.nextMs;
    if (arrivalMs <= Math.min(startMs, clock.nextMs)) {
      clock.moveTo(arrivalMs);
      outcomes.push(box.call(trace.functionNames[trace.functions[next]!]!));
    } else if (startMs <= clock.nextMs) {
      clock.moveTo(startMs);
      starts.pop(startMs)();
    } else clock.runNext();
    await settled();
  }
  await box.close();
  return { log, outcomes };
}

describe('the simulator and the box', () => {
  it('make every decision alike, of whatever calls, policies, cores and memory', async function () {
    this.timeout(60_000);
    await fc.assert(
      fc.asyncProperty(CASES, async (one) => {
        const trace = traceOf(one);
        const { log, watch } = recorder();
        const world = new World(trace, {
          ...{ policies: createPolicies(parsePolicySet(one.policies)), costs: COSTS, watch },
          ...(one.cores === undefined ? {} : { cores: one.cores }),
          ...(one.capacity === undefined ? {} : { capacityBytes: one.capacity * COSTS.sandboxBytes }),
        });
        const result = await world.run();
        const box = await onTheBox(one, trace, world.beginMs);
        // The world ends when the last call begins, the box when it has ended.
        expect(log.length).to.be.above(0);
        expect(box.log.slice(0, log.length)).to.deep.equal(log);
        const starts = { cold: 0, stem: 0, warm: 0, rejected: 0 };
        for (const { timeline } of box.outcomes) starts[timeline?.start ?? 'rejected']++;
        const { cold, stem, warm, rejected } = result;
        expect(starts).to.deep.equal({ cold, stem, warm, rejected });
      }),
      { numRuns: 100, seed: 11 },
    );
  });
});
