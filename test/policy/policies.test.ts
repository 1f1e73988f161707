import { expect } from 'chai';
import type { KeepAlivePolicy } from '../../src/policy/keepalive/policy.js';
import { createPolicies } from '../../src/policy/policies.js';
import type { PolicyChoice } from '../../src/policy/policy-entry.js';
import { nextToMake, type PrewarmFunction, type PrewarmSnapshot } from '../../src/policy/prewarm/next.js';
import type { PrewarmPolicy } from '../../src/policy/prewarm/policy.js';
import { RecentTimes } from '../../src/policy/usage/recent-times.js';
import { UsageHistory } from '../../src/policy/usage/usage.js';

const prewarm = (choice: PolicyChoice): PrewarmPolicy => createPolicies({ prewarm: choice }).prewarm;
const keepAlive = (choice: PolicyChoice): KeepAlivePolicy => createPolicies({ keepAlive: choice }).keepAlive;

/** A function that was called every `periodMs`, `calls` times, with calls of no length. */
function periodic(periodMs: number, calls: number): UsageHistory {
  const usage = new UsageHistory();
  for (let i = 0; i < calls; i++) {
    usage.arrived(i * periodMs, true);
    usage.ended(i * periodMs);
  }
  return usage;
}
const idle = (
  lastUsedMs: number,
  usage = new UsageHistory(),
  over: { memoryBytes?: number; clockAtUse?: number } = {},
) => ({
  lastUsedMs,
  usage,
  memoryBytes: 2 ** 20,
  clockAtUse: 0,
  ...over,
});

const fn = (key: string, over: Partial<PrewarmFunction> = {}): PrewarmFunction => ({
  key,
  sandboxes: 0,
  lastUsedMs: 0,
  notBeforeMs: 0,
  usage: new UsageHistory(),
  ...over,
});
const stem = (count: number, asked = new RecentTimes()) => ({ key: 'process', count, functions: 1, asked });
const snapshot = (over: Partial<PrewarmSnapshot> = {}): PrewarmSnapshot => ({
  nowMs: 100,
  stems: [stem(0)],
  mayGrow: true,
  functions: [],
  ...over,
});

describe('sandbox/prewarm: what is made next', () => {
  const policy = prewarm({ policy: 'fixed', stems: 2, warmPerFunction: 1 });

  it('warms functions before it makes stems, the most recently used first', () => {
    const functions = [fn('old', { lastUsedMs: 1 }), fn('new', { lastUsedMs: 9 })];
    expect(nextToMake(policy, snapshot({ functions }))).to.deep.equal({ kind: 'warm', functionKey: 'new' });
  });

  it('fills up stems when every function has its sandbox, and then rests', () => {
    const functions = [fn('a', { sandboxes: 1 }), fn('b', { sandboxes: 2 })];
    const stems = [stem(2), { ...stem(1), key: 'other' }];
    expect(nextToMake(policy, snapshot({ functions, stems }))).to.deep.equal({ kind: 'stem', key: 'other' });
    expect(nextToMake(policy, snapshot({ functions, stems: [stem(2)] }))).to.equal(undefined);
  });

  it('makes nothing under pressure, and lets a function that failed to load rest', () => {
    expect(nextToMake(policy, snapshot({ mayGrow: false, functions: [fn('a')] }))).to.equal(undefined);
    const failing = fn('a', { notBeforeMs: 101 });
    expect(nextToMake(policy, snapshot({ functions: [failing], stems: [stem(2)] }))).to.equal(undefined);
  });
});

describe('sandbox/prewarm: how many sandboxes each policy wants', () => {
  it('template: no sandbox of a function, and as many stems as were asked for lately, between its bounds', () => {
    const policy = prewarm({ policy: 'template', min: 1, max: 3, window: '10s' });
    const asked = new RecentTimes();
    expect(policy.warm(new UsageHistory(), 0).sandboxes).to.equal(0);
    expect(policy.stems(stem(0, asked), 0)).to.equal(1);
    for (const atMs of [1000, 2000, 11_000, 11_001, 11_002]) asked.record(atMs);
    expect(policy.stems(stem(0, asked), 2000)).to.equal(3);
    expect(policy.stems(stem(0, asked), 21_001)).to.equal(2);
    expect(policy.stems(stem(0, asked), 90_000)).to.equal(1);
  });

  it('histogram: one from shortly before the next call of a regular function until it is overdue', () => {
    const policy = prewarm('histogram');
    const usage = periodic(60_000, 10);
    const last = usage.lastEndMs;
    const away = policy.warm(usage, last + 1000);
    expect(away.sandboxes).to.equal(0);
    expect(away.untilMs).to.be.within(last + 40_000, last + 59_900);
    const near = policy.warm(usage, away.untilMs);
    expect(near.sandboxes).to.equal(1);
    expect(near.untilMs).to.be.within(last + 60_000, last + 80_000);
    expect(policy.warm(usage, near.untilMs)).to.deep.equal({
      sandboxes: 0,
      untilMs: Number.POSITIVE_INFINITY,
    });
  });

  it('histogram: none of a function without a pattern, or that is called all the time', () => {
    const policy = prewarm('histogram');
    expect(policy.warm(periodic(60_000, 3), 121_000).sandboxes).to.equal(0);
    expect(policy.warm(periodic(500, 50), 25_000).sandboxes).to.equal(0);
    const wild = new UsageHistory();
    for (let i = 0, atMs = 0; i < 90; i++) {
      atMs += 2 ** (i / 4);
      wild.arrived(atMs, true);
      wild.ended(atMs);
    }
    for (const afterMs of [1, 1e3, 1e6])
      expect(policy.warm(wild, wild.lastEndMs + afterMs).sandboxes).to.equal(0);
  });

  it('reactive: an increment for every threshold of misses, until they are long past', () => {
    const policy = prewarm({ policy: 'reactive', threshold: 2, increment: 2, max: 3, window: '1m' });
    const usage = new UsageHistory();
    usage.misses.record(0);
    expect(policy.warm(usage, 0).sandboxes).to.equal(0);
    usage.misses.record(10_000);
    expect(policy.warm(usage, 10_000)).to.deep.equal({ sandboxes: 2, untilMs: 60_001 });
    usage.misses.record(11_000);
    usage.misses.record(12_000);
    expect(policy.warm(usage, 12_000).sandboxes).to.equal(3);
    expect(policy.warm(usage, 70_001).sandboxes).to.equal(2);
    expect(policy.warm(usage, 72_001).sandboxes).to.equal(0);
  });

  it('snapshot: nothing warm, restore first', () => {
    const policy = prewarm({ policy: 'snapshot', stems: 1 });
    expect(policy.restoreFirst).to.equal(true);
    expect(policy.warm(periodic(1, 99), 99).sandboxes).to.equal(0);
    expect(policy.stems(stem(0), 0)).to.equal(1);
  });
});

describe('sandbox/keepalive', () => {
  it('ttl: a fixed time after its last use; the least recently used goes first under pressure', () => {
    const policy = keepAlive({ policy: 'ttl', keepAlive: '50ms' });
    expect(policy.expiresMs(idle(10), 20)).to.equal(60);
    expect(policy.priority(idle(10))).to.be.lessThan(policy.priority(idle(11)));
  });

  it('lru: never by time', () => {
    const policy = keepAlive('lru');
    expect(policy.expiresMs(idle(0), 1e12)).to.equal(Number.POSITIVE_INFINITY);
    expect(policy.priority(idle(10))).to.be.lessThan(policy.priority(idle(11)));
  });

  it('greedy-dual: seldom called, large and fast to start goes first, and age makes up for it', () => {
    const policy = keepAlive('greedy-dual');
    const [seldom, often] = [periodic(1, 2), periodic(1, 20)];
    const slow = periodic(1, 2);
    slow.started(10_000);
    const base = policy.priority(idle(0, seldom));
    expect(policy.priority(idle(0, often))).to.be.greaterThan(base);
    expect(policy.priority(idle(0, slow))).to.be.greaterThan(base);
    expect(policy.priority(idle(0, seldom, { memoryBytes: 2 ** 22 }))).to.be.lessThan(base);
    // 20 calls x 100 ms / 1 MiB: what was popular before the clock came so far is the first to go.
    expect(policy.priority(idle(0, seldom, { clockAtUse: 5000 }))).to.be.greaterThan(
      policy.priority(idle(0, often)),
    );
    often.gone();
    expect(policy.priority(idle(0, often))).to.equal(0);
  });

  it('histogram: until the next call is overdue; at once if prewarming has it back in time', () => {
    const usage = periodic(60_000, 10);
    const last = usage.lastEndMs;
    const alone = keepAlive('histogram');
    expect(alone.expiresMs(idle(last, usage), last)).to.be.within(last + 60_000, last + 80_000);
    const paired = createPolicies({ prewarm: 'histogram', keepAlive: 'histogram' }).keepAlive;
    expect(paired.expiresMs(idle(last, usage), last)).to.equal(last);
    expect(paired.expiresMs(idle(last + 55_000, usage), last + 55_000)).to.be.greaterThan(last + 60_000);
    expect(alone.expiresMs(idle(7, periodic(60_000, 2)), 7)).to.equal(60_007);
  });
});

describe('sandbox/selection', () => {
  const box = { core: 1, spareRatio: (core: number) => (core === 2 ? 0.9 : 0.1) };
  const at = (core: number, lastUsedMs: number, load = 0) => ({ core, lastUsedMs, load });
  const table = [
    { policy: 'mru', better: at(1, 1), worse: at(2, 9) },
    { policy: 'mru', better: at(2, 9), worse: at(3, 1) },
    { policy: 'least-loaded', better: at(3, 9, 1), worse: at(1, 1, 2) },
    { policy: 'least-loaded', better: at(3, 1), worse: at(1, 9) },
    { policy: 'most-spare', better: at(2, 1), worse: at(1, 9) },
    { policy: 'most-spare', better: at(1, 9), worse: at(3, 1) },
  ];
  for (const { policy: selection, better, worse } of table) {
    it(`${selection}: ${JSON.stringify(better)} before ${JSON.stringify(worse)}`, () => {
      const policy = createPolicies({ selection }).selection;
      expect(policy.better(better, worse, box)).to.equal(true);
      expect(policy.better(worse, better, box)).to.equal(false);
    });
  }
});
