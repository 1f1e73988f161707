import { expect } from 'chai';
import { ttlKeepAlive } from '../../src/sandbox/keepalive/ttl.js';
import { fixedPrewarm } from '../../src/sandbox/prewarm/fixed.js';
import type { PrewarmFunction, PrewarmSnapshot } from '../../src/sandbox/prewarm/policy.js';

const fn = (name: string, over: Partial<PrewarmFunction> = {}): PrewarmFunction => ({
  name,
  warmIdle: 0,
  busy: 0,
  starting: 0,
  queued: 0,
  lastUsedMs: 0,
  notBeforeMs: 0,
  ...over,
});
const snapshot = (over: Partial<PrewarmSnapshot> = {}): PrewarmSnapshot => ({
  nowMs: 100,
  stems: [{ key: 'process', count: 0 }],
  mayGrow: true,
  functions: [],
  ...over,
});

const stems = (count: number) => [{ key: 'process', count }];

describe('sandbox/prewarm/fixed', () => {
  const policy = fixedPrewarm({ stems: 2, warmPerFunction: 1 });

  it('warms functions before it makes stems, the most recently used first', () => {
    const functions = [fn('old', { lastUsedMs: 1 }), fn('new', { lastUsedMs: 9 })];
    expect(policy.next(snapshot({ functions }))).to.deep.equal({ kind: 'warm', functionName: 'new' });
  });

  it('fills up stems when every function has its sandbox, and then rests', () => {
    const functions = [fn('a', { warmIdle: 1 }), fn('b', { busy: 1 }), fn('c', { starting: 1 })];
    expect(policy.next(snapshot({ functions, stems: stems(1) }))).to.deep.equal({
      kind: 'stem',
      key: 'process',
    });
    expect(policy.next(snapshot({ functions, stems: stems(2) }))).to.equal(undefined);
    const other = [...stems(2), { key: 'isolate/default', count: 1 }];
    expect(policy.next(snapshot({ functions, stems: other }))).to.deep.equal({
      kind: 'stem',
      key: 'isolate/default',
    });
  });

  it('makes nothing under pressure, and lets a function that failed to load rest', () => {
    expect(policy.next(snapshot({ mayGrow: false, functions: [fn('a')] }))).to.equal(undefined);
    const failing = fn('a', { notBeforeMs: 101 });
    expect(policy.next(snapshot({ functions: [failing], stems: stems(2) }))).to.equal(undefined);
  });
});

describe('sandbox/keepalive/ttl', () => {
  const policy = ttlKeepAlive({ keepAliveMs: 50, keep: 1 });
  const idle = [
    { id: '1', functionName: 'a', lastUsedMs: 10 },
    { id: '2', functionName: 'a', lastUsedMs: 20 },
    { id: '3', functionName: 'b', lastUsedMs: 5 },
    { id: '4', functionName: 'a', lastUsedMs: 90 },
  ];

  it('ends what was unused for too long, but keeps the hottest of each function', () => {
    expect(policy.expired(idle, 100).sort()).to.deep.equal(['1', '2']);
  });

  it('names the least recently used as the first to go when memory is short', () => {
    expect(policy.victim(idle)).to.equal('3');
    expect(policy.victim([])).to.equal(undefined);
  });
});
