import { expect } from 'chai';
import { Random } from '../../../src/packet/random.js';
import { SpareHistogram } from '../../../src/policy/harvest/prediction/histogram.js';
import type { SparePredictor } from '../../../src/policy/harvest/prediction/predictor.js';
import { QuantileEwma } from '../../../src/policy/harvest/prediction/quantile-ewma.js';
import { ScoredPredictor } from '../../../src/policy/harvest/prediction/scored.js';

/** Numbers from 0 to 1, the same in every run. */
function seeded(seed: number): () => number {
  const random = new Random(seed);
  return () => random.u32() / 2 ** 32;
}

/** Share of the second half in which the value was at least what the careful guess had said. */
function coverageOf(predictor: SparePredictor, values: readonly number[]): number {
  let held = 0;
  values.forEach((value, i) => {
    if (i >= values.length / 2 && value >= predictor.quantile(0.1)) held++;
    predictor.observe(value);
  });
  return held / Math.ceil(values.length / 2);
}

const streams: Record<string, (random: () => number) => number[]> = {
  'an even core': (random) => Array.from({ length: 4000 }, () => 0.6 + 0.1 * (random() - 0.5)),
  'a wide core': (random) => Array.from({ length: 4000 }, () => random()),
  'a core of two states': (random) => Array.from({ length: 4000 }, () => (random() < 0.3 ? 0.1 : 0.9)),
};

describe('harvest/prediction', () => {
  for (const make of [() => new QuantileEwma(), () => new SpareHistogram()]) {
    describe(make().name, () => {
      for (const [what, stream] of Object.entries(streams)) {
        it(`says carefully what is spare on ${what}`, () => {
          const coverage = coverageOf(make(), stream(seeded(7)));
          expect(coverage).to.be.within(0.85, 1);
        });
      }

      it('finds the middle', () => {
        const predictor = make();
        const random = seeded(3);
        for (let i = 0; i < 4000; i++) predictor.observe(0.4 + 0.2 * random());
        expect(predictor.quantile(0.5)).to.be.closeTo(0.5, 0.05);
        expect(predictor.quantile(0.1)).to.be.closeTo(0.42, 0.05);
      });

      it('follows a change of load', () => {
        const predictor = make();
        for (let i = 0; i < 2000; i++) predictor.observe(0.9);
        for (let i = 0; i < 2000; i++) predictor.observe(0.2);
        expect(predictor.quantile(0.5)).to.be.closeTo(0.2, 0.05);
      });
    });
  }

  it('lets the predictor answer whose guesses came true', () => {
    const constant = (name: string, guess: number): SparePredictor => ({
      name,
      observe: () => undefined,
      quantile: () => guess,
    });
    const scored = new ScoredPredictor(2, [constant('wrong', 0.9), constant('right', 0.3)]);
    for (let i = 0; i < 200; i++) scored.tick(i % 2 === 0 ? 0.2 : 0.4);
    expect(scored.calibration().predictor).to.equal('right');
    expect(scored.calibration().coverage).to.be.greaterThan(0.85);
    expect(scored.quantile(0.5)).to.equal(0.3);
  });

  it('scores a guess only against the period for which it was made', () => {
    const seen: number[] = [];
    const spy: SparePredictor = { name: 'spy', observe: (value) => seen.push(value), quantile: () => 0.5 };
    const scored = new ScoredPredictor(4, [spy]);
    for (const share of [0, 0, 1, 1, 1, 1, 1]) scored.tick(share);
    expect(seen).to.deep.equal([0.5]);
  });
});
