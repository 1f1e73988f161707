import { expect } from 'chai';
import fc from 'fast-check';
import {
  charges,
  joins,
  nextToServe,
  type ServiceShare,
  settles,
} from '../../../src/policy/scheduling/fair-queue.js';

const fn = (virtualMs: number, meanMs = 1): ServiceShare => ({ virtualMs, meanMs });

describe('policy/scheduling: fair queueing', () => {
  it('serves the one that received least, of equals the first, and none that was passed over', () => {
    const [a, b, c] = [fn(5), fn(3), fn(3)];
    const cases: Array<[ServiceShare[], ServiceShare[], ServiceShare | undefined]> = [
      [[], [], undefined],
      [[a], [], a],
      [[a, b, c], [], b],
      [[a, c, b], [], c],
      [[a, b, c], [b], c],
      [[a, b, c], [b, c], a],
      [[a, b], [a, b], undefined],
    ];
    for (const [waiting, passed, next] of cases) {
      expect(nextToServe(waiting, new Set(passed))).to.equal(next);
    }
    expect(nextToServe([a, b], undefined)).to.equal(b);
  });

  it('charges what a call usually takes, and what it took once that is known', () => {
    const cases = [
      // [received, mean, took] -> [received after the charge, at the end, mean]
      { from: [10, 4], tookMs: 4, charged: 14, settled: 14, mean: 4 },
      { from: [10, 4], tookMs: 9, charged: 14, settled: 19, mean: 5 },
      { from: [0, 10], tookMs: 0, charged: 10, settled: 0, mean: 8 },
      { from: [0, 10], tookMs: Number.NaN, charged: 10, settled: 0, mean: 10 },
    ];
    for (const { from, tookMs, charged, settled, mean } of cases) {
      const one = fn(from[0]!, from[1]);
      const paid = charges(one, { virtualMs: 0 });
      expect(one.virtualMs).to.equal(charged);
      settles(one, paid, tookMs);
      expect([one.virtualMs, one.meanMs]).to.deep.equal([settled, mean]);
    }
  });

  it('gives no credit for the time in which nothing was asked for', () => {
    const clock = { virtualMs: 0 };
    const [busy, idle] = [fn(100), fn(0)];
    charges(busy, clock);
    joins(idle, clock);
    expect(idle.virtualMs).to.equal(100);
    joins(busy, clock);
    expect(busy.virtualMs).to.equal(101);
  });

  it('lets no function that always has calls get ahead of another by more than a call of each', () => {
    const lengths = fc.array(fc.integer({ min: 1, max: 50 }), { minLength: 2, maxLength: 5 });
    fc.assert(
      fc.property(lengths, fc.integer({ min: 1, max: 300 }), (callMs, calls) => {
        const clock = { virtualMs: 0 };
        const functions = callMs.map((ms) => ({ ...fn(0, ms), ms, servedMs: 0 }));
        for (let i = 0; i < calls; i++) {
          const next = nextToServe(functions, undefined)!;
          settles(next, charges(next, clock), next.ms);
          next.servedMs += next.ms;
        }
        const served = functions.map(({ servedMs }) => servedMs);
        expect(Math.max(...served) - Math.min(...served)).to.be.at.most(Math.max(...callMs));
      }),
    );
  });
});
