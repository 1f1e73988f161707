import { expect } from 'chai';
import { OthersModel } from '../../../src/policy/harvest/others.js';
import { OTHERS } from '../../../src/tunables/index.js';

const WINDOW_NS = OTHERS.windowMs * 1e6;

/** `count` windows with these shares of the core; how often `taken` changed. */
function windows(
  model: OthersModel,
  count: number,
  shares: { nf: number; fn: number; others: number },
): number {
  let changes = 0;
  for (let i = 0; i < count; i++) {
    const busy = (shares.nf + shares.fn + shares.others) * WINDOW_NS;
    if (model.account(WINDOW_NS, busy, shares.nf * WINDOW_NS, shares.fn * WINDOW_NS)) changes++;
  }
  return changes;
}

describe('harvest/others', () => {
  it('what is neither the NF nor a function is others', () => {
    const model = new OthersModel();
    windows(model, 1, { nf: 0.2, fn: 0.3, others: 0.4 });
    expect(model.ratio).to.be.closeTo(0.4, 1e-9);
    expect(model.totalNs).to.be.closeTo(0.4 * WINDOW_NS, 1);
  });

  it('a core that they leave nothing of is taken, after two windows, and given back when there is something left', () => {
    const model = new OthersModel();
    expect(windows(model, 1, { nf: 0.02, fn: 0, others: 0.97 })).to.equal(0);
    expect(windows(model, 1, { nf: 0.02, fn: 0, others: 0.97 })).to.equal(1);
    expect(model.taken).to.equal(true);
    expect(windows(model, OTHERS.leftWindows - 1, { nf: 0.02, fn: 0, others: 0.1 })).to.equal(0);
    expect(windows(model, 1, { nf: 0.02, fn: 0, others: 0.1 })).to.equal(1);
    expect(model.taken).to.equal(false);
  });

  it('functions alone, or an NF alone, take it from nobody', () => {
    const model = new OthersModel();
    expect(windows(model, 10, { nf: 0.01, fn: 0.98, others: 0.01 })).to.equal(0);
    expect(windows(model, 10, { nf: 0.99, fn: 0, others: 0 })).to.equal(0);
    expect(model.ratio).to.equal(0);
  });

  it('an NF that uses more than the kernel calls busy makes no negative time', () => {
    const model = new OthersModel();
    model.account(WINDOW_NS, 0.9 * WINDOW_NS, 0.95 * WINDOW_NS, 0.1 * WINDOW_NS);
    expect(model.ratio).to.equal(0);
  });
});
