import { expect } from 'chai';
import { CallCounts, SECONDS_BOUNDS } from '../../src/telemetry/call-counts.js';

describe('call counts', () => {
  it('puts a duration into the first bucket whose bound it does not exceed', () => {
    const counts = new CallCounts(() => true);
    for (const [durationS, bucket] of [
      [0, 0],
      [0.0001, 0],
      [0.00011, 1],
      [0.001, 3],
      [60, SECONDS_BOUNDS.length - 1],
      [61, SECONDS_BOUNDS.length],
    ] as const) {
      const before = [...(counts.functions.get('f')?.buckets ?? new Float64Array(SECONDS_BOUNDS.length + 1))];
      counts.record('f', undefined, durationS, 'warm');
      const changed = [...counts.functions.get('f')!.buckets].map((value, i) => value - before[i]!);
      expect(changed.indexOf(1), String(durationS)).to.equal(bucket);
    }
    expect(counts.functions.get('f')).to.include({ ok: 6, count: 6 });
    expect(counts.starts.warm).to.equal(6);
  });

  it('counts failures by code, and refused calls without a duration', () => {
    const counts = new CallCounts(() => true);
    counts.record('f', 'OVERLOADED', undefined, undefined);
    counts.record('f', 'OVERLOADED', undefined, undefined);
    counts.record('f', 'FUNCTION_OOM', 1, 'cold');
    const f = counts.functions.get('f')!;
    expect([...f.failed]).to.deep.equal([
      ['OVERLOADED', 2],
      ['FUNCTION_OOM', 1],
    ]);
    expect(f).to.include({ ok: 0, count: 1, sumS: 1 });
    expect(counts.starts).to.deep.equal({ cold: 1, stem: 0, warm: 0 });
  });

  it('keeps one series for all names that are no function', () => {
    const counts = new CallCounts((name) => name === 'f');
    for (let i = 0; i < 100; i++) counts.record(`made-up-${i}`, 'NOT_FOUND', undefined, undefined);
    counts.record('f', undefined, 1, 'warm');
    expect([...counts.functions.keys()]).to.deep.equal(['(unknown)', 'f']);
    expect(counts.functions.get('(unknown)')!.failed.get('NOT_FOUND')).to.equal(100);
    counts.forget('f');
    expect(counts.functions.has('f')).to.equal(false);
  });
});
