import { expect } from 'chai';
import { TimerHeap } from '../../src/model/timer-heap.js';
import { Random } from '../../src/packet/random.js';
import { type CompareOptions, comparePolicies, parsePolicySet } from '../../src/sim/compare.js';
import type { SimResult } from '../../src/sim/result.js';
import { type Trace, TraceBuilder } from '../../src/sim/trace.js';

const MIB = 2 ** 20;
const COSTS = { coldMs: 100, stemMs: 10, restoreMs: 20, sandboxBytes: 128 * MIB };

/** Calls as [function, arrival in ms, duration in ms]. */
function trace(...calls: Array<[string, number, number]>): Trace {
  const builder = new TraceBuilder();
  for (const call of calls) builder.add(...call);
  return builder.finish();
}

async function run(
  of: Trace,
  policies: string,
  capacityBytes?: number,
  cores?: number,
  packages: CompareOptions['packages'] = [],
): Promise<SimResult> {
  const results = await comparePolicies(of, {
    policies: [parsePolicySet(policies)],
    capacitiesBytes: [capacityBytes],
    costs: COSTS,
    packages,
    ...(cores === undefined ? {} : { cores }),
  });
  return results[0]!;
}

describe('the simulated box', () => {
  it('starts cold, serves warm while the sandbox is kept, and cold again after', async () => {
    const calls = trace(['a', 0, 5], ['a', 1000, 5], ['a', 62_000, 5]);
    const result = await run(calls, 'none+ttl:keepAlive=1m');
    expect(result).to.include({ cold: 2, warm: 1, stem: 0, rejected: 0, expired: 1 });
    expect(result.startLatencyMs.mean).to.be.closeTo(200 / 3, 0.01);
    // One sandbox, but for the time between its end and the last call.
    expect(result.memoryGiBs).to.be.within(0.125 * 61, 0.125 * 61.5);
  });

  it('gives stems to the first calls, one after the other', async () => {
    const calls = trace(['a', 0, 5], ['b', 0, 5], ['c', 0, 5]);
    expect(await run(calls, 'fixed:stems=2:warmPerFunction=0+ttl')).to.include({ stem: 2, cold: 1 });
  });

  it('charges what loading packages takes, less what a stem of the policy had imported, and gives it to no other', async () => {
    const calls = trace(['a', 0, 5], ['b', 100_000, 5], ['c', 200_000, 5], ['d', 300_000, 5]);
    const ajv = { hash: 'ajv', loadMs: 40, bytes: MIB };
    const png = { hash: 'png', loadMs: 40, bytes: MIB };
    const packages = [[ajv, png], [ajv], [ajv], []];
    const sum = async (policies: string) =>
      4 * (await run(calls, policies, undefined, undefined, packages)).startLatencyMs.mean;
    expect(await sum('none+ttl')).to.be.closeTo(180 + 140 + 140 + 100, 0.01);
    expect(await sum('template:zygotes=0+ttl')).to.be.closeTo(90 + 50 + 50 + 10, 0.01);
    expect(await sum('template:zygotes=2+ttl')).to.be.closeTo(10 + 10 + 10 + 10, 0.01);
    // One, of what most import: what only the first needs is loaded with it.
    expect(await sum('template:zygotes=1+ttl')).to.be.closeTo(50 + 10 + 10 + 10, 0.01);
  });

  it('has a warm sandbox for every function before the trace begins, with the policy that says so', async () => {
    const calls = trace(['a', 0, 5], ['b', 1000, 500], ['b', 1001, 500]);
    expect(await run(calls, 'fixed:stems=0+ttl')).to.include({ warm: 2, cold: 1 });
  });

  it('prewarms a regular function in time, and holds less memory than one that keeps it', async () => {
    const calls = trace(
      ...Array.from({ length: 40 }, (_, i): [string, number, number] => ['a', i * 300_000, 5]),
    );
    const ahead = await run(calls, 'histogram:stems=0+histogram');
    expect(ahead.warm).to.be.at.least(30);
    const kept = await run(calls, 'none+lru');
    expect(kept).to.include({ cold: 1, warm: 39 });
    expect(ahead.memoryGiBs).to.be.lessThan(kept.memoryGiBs / 2);
  });

  it('restores only what has run before, and only where there are snapshots', async () => {
    const calls = trace(['a', 0, 5], ['a', 100_000, 5]);
    expect(await run(calls, 'snapshot:stems=0+ttl')).to.include({ cold: 1, restored: 1 });
  });

  it('ends the sandbox that is worth least when memory is full, and rejects when all are in use', async () => {
    const often = Array.from({ length: 5 }, (_, i): [string, number, number] => ['often', i * 200, 1]);
    const calls = trace(...often, ['once', 1500, 1], ['new', 2000, 1], ['often', 2500, 1]);
    expect((await run(calls, 'none+lru', 256 * MIB)).evicted).to.equal(2);
    expect((await run(calls, 'none+greedy-dual', 256 * MIB)).evicted).to.equal(1);
    const full = trace(['a', 0, 1000], ['b', 500, 5], ['a', 600, 5], ['b', 2000, 5]);
    expect(await run(full, 'none+lru', 128 * MIB)).to.include({ rejected: 1, cold: 2, warm: 1 });
  });

  it('runs one short call on a core at a time, and long ones beside each other', async () => {
    const short = trace(['a', 0, 10], ['b', 0, 10], ['c', 0, 10]);
    const result = await run(short, 'fixed+ttl', undefined, 1);
    // The second is on standby, the third waits for a place.
    expect(result.warm).to.equal(3);
    expect(result.startLatencyMs.p99).to.equal(10);
    const long = trace(['a', 0, 500], ['b', 100, 500], ['c', 100, 500]);
    expect((await run(long, 'fixed+ttl', undefined, 1)).startLatencyMs.p99).to.equal(0);
  });

  const sets = [
    'none+ttl',
    'fixed+lru',
    'template+greedy-dual',
    'histogram+histogram',
    'reactive+ttl+least-loaded',
    'snapshot+lru',
  ];
  for (const seed of [1, 2, 3, 4]) {
    it(`accounts for every call once and stays within memory, whatever comes (seed ${seed})`, async () => {
      const random = new Random(seed);
      const builder = new TraceBuilder();
      for (let i = 0; i < 1000; i++) {
        const burst = random.below(4) === 0 ? random.below(1000) : random.unit() * 200_000;
        builder.add(`f${random.below(20)}`, burst, random.exponential(random.below(2) === 0 ? 10 : 3000));
      }
      const calls = builder.finish();
      const packages = calls.functionNames.map(() =>
        ['a', 'b', 'c'].slice(random.below(4)).map((hash) => ({ hash, loadMs: 30, bytes: MIB })),
      );
      for (const set of sets) {
        for (const capacity of [undefined, 128 * MIB, 1024 * MIB]) {
          for (const cores of [undefined, 1, 4]) {
            const one = await run(calls, set, capacity, cores, packages);
            const of = `${set} in ${capacity} on ${cores}`;
            expect(one.cold + one.stem + one.restored + one.warm + one.rejected, of).to.equal(1000);
            expect(one.memoryMaxBytes, of).to.be.at.most(capacity ?? Number.POSITIVE_INFINITY);
            expect(one.idleMemoryGiBs, of).to.be.within(0, one.memoryGiBs);
            if (cores === undefined && capacity === undefined) expect(one.rejected, of).to.equal(0);
          }
        }
      }
    });
  }

  it('looks at what it keeps about as often as it is called, however busy a function is', async () => {
    const builder = new TraceBuilder();
    const random = new Random(5);
    for (let i = 0; i < 20_000; i++) builder.add(`f${random.below(40)}`, i * 10, random.unit() * 2000);
    const { pop } = TimerHeap.prototype;
    let events = 0;
    TimerHeap.prototype.pop = function (this: TimerHeap<unknown>) {
      events++;
      return pop.call(this);
    };
    try {
      await run(builder.finish(), 'none+ttl:keepAlive=5s');
    } finally {
      TimerHeap.prototype.pop = pop;
    }
    expect(events).to.be.within(20_000, 40_000);
  });

  it('says the same twice', async () => {
    const calls = trace(['a', 0, 5], ['b', 3, 700], ['a', 4, 5], ['b', 90_000, 5]);
    expect(await run(calls, 'reactive+ttl', 256 * MIB, 1)).to.deep.equal(
      await run(calls, 'reactive+ttl', 256 * MIB, 1),
    );
  });
});

describe('the event queue', () => {
  it('gives events by time, those of one time in order', async () => {
    const queue = new TimerHeap<[number, number]>();
    const random = new Random(7);
    const times = Array.from({ length: 5000 }, () => random.below(300));
    for (const [i, time] of times.entries()) queue.push(time, [time, i]);
    const sorted = times
      .map((time, i): [number, number] => [time, i])
      .sort((a, b) => a[0] - b[0] || a[1] - b[1]);
    // Half of them, others in between, and the rest: places are used again.
    expect(sorted.slice(0, 2500).map(() => queue.pop())).to.deep.equal(sorted.slice(0, 2500));
    for (let i = 0; i < 1000; i++) queue.push(1000 + (i % 7), [1000 + (i % 7), 5000 + i]);
    expect(sorted.slice(2500).map(() => queue.pop())).to.deep.equal(sorted.slice(2500));
    expect(Array.from({ length: 1000 }, () => queue.pop()[0])).to.deep.equal(
      Array.from({ length: 1000 }, (_, i) => 1000 + (i % 7)).sort((a, b) => a - b),
    );
    expect(queue.nextMs).to.equal(Number.POSITIVE_INFINITY);
  });
});
