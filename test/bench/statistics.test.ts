/** Medians, bootstrap bounds, and the table that a run's rounds become. */

import { expect } from 'chai';
import { estimate, median } from '../../bench/statistics.js';
import { summarize } from '../../bench/summary.js';
import type { BenchRound } from '../../bench/types.js';

function round(policy: string, number: number, p99: number, more: Partial<BenchRound> = {}): BenchRound {
  return {
    policy,
    round: number,
    nf: { sent: 1000, received: 1000, lost: 0, latency_us: { p50: 10, p90: 20, p99, p999: p99, max: p99 } },
    core: { wall_us: 1e6, nf_us: 4e5, function_us: policy === 'solo' ? 0 : 5.7e5, spare_us: 6e5 },
    functions: {
      completed: policy === 'solo' ? 0 : 100,
      failed: 0,
      latency_ms: { p50: null, p99: null },
      start_ms: { p50: null, p99: null },
      starts: { cold: 0, stem: 0, warm: 0 },
    },
    host_noise_p99_us: 40,
    generator_lateness_p99_us: 100,
    ...more,
  };
}

describe('the figures of a bench', () => {
  for (const [values, middle] of [
    [[], null],
    [[3], 3],
    [[3, 1], 2],
    [[9, 1, 5], 5],
  ] as Array<[number[], number | null]>) {
    it(`the median of [${values}] is ${middle}`, () => expect(median(values)).to.equal(middle));
  }

  it('bounds a median: none for no values, the value itself for equal ones, inside the values otherwise', () => {
    expect(estimate([])).to.equal(undefined);
    expect(estimate([2, 2, 2])).to.deep.equal({ value: 2, low: 2, high: 2 });
    const wide = estimate([1, 2, 3, 4, 5, 6, 7, 8, 100])!;
    expect(wide.value).to.equal(5);
    expect(wide.low).to.be.within(1, 4);
    expect(wide.high).to.be.within(6, 100);
    expect(estimate([1, 2, 3, 4, 5, 6, 7, 8, 100]), 'the same each time').to.deep.equal(wide);
  });

  it('takes ratios inside a round, so that a slow minute cancels out', () => {
    const rounds = [1, 2, 3].flatMap((n) => [round('solo', n, 100 * n), round('nemo', n, 110 * n)]);
    const { nemo } = summarize(rounds, 1);
    expect(nemo!.nf_p99_ratio_to_solo).to.be.closeTo(1.1, 1e-9);
    expect(nemo!.intervals.nf_p99_ratio_to_solo!.high).to.be.closeTo(1.1, 1e-9);
    expect(nemo!.harvest_efficiency).to.be.closeTo(0.95, 1e-9);
  });

  it('leaves noisy rounds out and says so, also where the solo round was the noisy one', () => {
    const rounds = [1, 2, 3, 4, 5].flatMap((n) => [
      round('solo', n, 100, { noisy: n === 2 }),
      round('nemo', n, n === 1 ? 900 : 100, { noisy: n === 1 }),
    ]);
    const { nemo } = summarize(rounds, 1);
    expect(nemo!.intervals.nf_p99_us).to.deep.equal({ value: 100, low: 100, high: 100 });
    expect(nemo).to.include({ rounds: 5, noisy_rounds: 1 });
    expect(nemo!.note).to.match(/^2 rounds left out/);
  });

  it('counts all rounds where too few were quiet', () => {
    const rounds = [1, 2, 3].map((n) => round('nemo', n, 100 * n, { noisy: n > 1 }));
    expect(summarize(rounds, 1).nemo).to.include({ nf_p99_us: 200, noisy_rounds: 2 });
    expect(summarize(rounds, 1).nemo!.note).to.match(/all are counted/);
  });

  it('never excuses loss by noise', () => {
    const lossy = round('nemo', 1, 100, { noisy: true });
    lossy.nf.lost = 10;
    const rounds = [lossy, ...[2, 3, 4].map((n) => round('nemo', n, 100))];
    expect(summarize(rounds, 1).nemo!.nf_loss_ratio).to.be.closeTo(10 / 4000, 1e-9);
  });
});
