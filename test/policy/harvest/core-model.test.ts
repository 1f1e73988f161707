import { expect } from 'chai';
import { CoreModel } from '../../../src/policy/harvest/core-model.js';

const MS = 1e6;

describe('harvest/core-model', () => {
  it('splits the time of a core into NF, functions and spare', () => {
    const model = new CoreModel(100);
    for (let i = 0; i < 1000; i++) model.tick(MS, 0.3 * MS, 0.6 * MS, 5);
    expect(model.nfRatio()).to.be.closeTo(0.3, 1e-9);
    expect(model.functionRatio()).to.be.closeTo(0.6, 1e-9);
    expect(model.spareRatio()).to.be.closeTo(0.7, 1e-9);
    expect(model.totalSpareNs).to.be.closeTo(700 * MS, 10);
    expect(model.totalHarvestedNs).to.be.closeTo(600 * MS, 10);
  });

  it('keeps totals right when the kernel reports four milliseconds at once', () => {
    const model = new CoreModel(100);
    for (let i = 0; i < 1000; i++) model.tick(MS, 0, i % 4 === 3 ? 4 * MS : 0, 0);
    expect(model.totalHarvestedNs).to.equal(1000 * MS);
    for (let i = 0; i < 1000; i++) model.tick(MS, i % 4 === 3 ? 4 * MS : 0, 0, 0);
    expect(model.totalSpareNs).to.equal(1000 * MS);
  });

  it('predicts each horizon by itself, and says how often its careful guess came true', () => {
    const model = new CoreModel(100);
    // Spare in turns of a millisecond: the next one is anybody's guess, the next ten are sure.
    for (let i = 0; i < 20_000; i++) model.tick(MS, i % 2 === 0 ? 0.9 * MS : 0.1 * MS, 0, 5);
    const [one, ten, ...longer] = model.predictions();
    expect(one!.spareRatioP10).to.be.within(0, 0.2);
    for (const horizon of [ten!, longer[0]!]) expect(horizon.spareRatioP10).to.be.within(0.4, 0.5);
    expect(longer).to.have.length(2);
    for (const horizon of [one!, ten!, longer[0]!]) expect(horizon.coverage).to.be.within(0.6, 1);
    expect(model.prediction()).to.deep.equal(ten);
  });

  it('learns from a look that stands for two ticks what it learns from two', () => {
    const [each, calm] = [new CoreModel(100), new CoreModel(100)];
    for (let i = 0; i < 2000; i++) each.tick(MS, 0.4 * MS, 0.1 * MS, 2);
    for (let i = 0; i < 1000; i++) calm.tick(2 * MS, 0.8 * MS, 0.2 * MS, 4, 2);
    expect(calm.predictedSpareRatio()).to.be.closeTo(each.predictedSpareRatio(), 1e-6);
    expect(calm.totalSpareNs).to.be.closeTo(each.totalSpareNs, 10);
    expect(calm.nfRatio()).to.be.closeTo(each.nfRatio(), 1e-9);
  });

  it('never claims more harvested than was spare', () => {
    const model = new CoreModel(10);
    for (let i = 0; i < 10; i++) model.tick(MS, 0.5 * MS, MS, 1);
    expect(model.totalHarvestedNs).to.equal(5 * MS);
  });

  it('follows a change of load within a few windows', () => {
    const model = new CoreModel(100);
    for (let i = 0; i < 500; i++) model.tick(MS, 0, 0, 0);
    for (let i = 0; i < 400; i++) model.tick(MS, 0.8 * MS, 0, 4);
    expect(model.predictedSpareRatio()).to.be.closeTo(0.2, 0.05);
    expect(model.nfRatio()).to.be.closeTo(0.8, 1e-9);
  });

  it('tells how long idle windows are from how often the NF runs', () => {
    const model = new CoreModel(100);
    for (let i = 0; i < 100; i++) model.tick(MS, 0.5 * MS, 0, 10);
    expect(model.idleWindowUs(0.5)).to.be.closeTo(50, 1e-6);
  });
});
