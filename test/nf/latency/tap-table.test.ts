import { expect } from 'chai';
import { TapTable } from '../../../src/nf/latency/tap-table.js';

const EXPIRY_NS = 1_000;

describe('packets under way', () => {
  let table: TapTable;
  beforeEach(() => {
    table = new TapTable(64, EXPIRY_NS);
  });

  it('in any order, each gets its own latency', () => {
    for (let key = 0; key < 40; key++) table.enter(key, -key, key);
    for (let key = 39; key >= 0; key--) expect(table.leave(key, -key, 100)).to.equal(100 - key);
    expect(table.matched).to.equal(40);
  });

  it('a packet that comes out twice is measured once', () => {
    table.enter(1, 1, 0);
    expect(table.leave(1, 1, 10)).to.equal(10);
    expect(table.leave(1, 1, 20)).to.equal(-1);
    expect([table.matched, table.unknown]).to.deep.equal([1, 1]);
  });

  it('of two alike that are under way at once neither is measured', () => {
    table.enter(1, 1, 0);
    table.enter(1, 1, 5);
    expect([table.leave(1, 1, 10), table.leave(1, 1, 15)]).to.deep.equal([-1, -1]);
    expect([table.matched, table.ambiguous]).to.deep.equal([0, 2]);
  });

  it('one that looks like an earlier one is measured only after a quiet time', () => {
    table.enter(1, 1, 0);
    table.leave(1, 1, 10);
    table.enter(1, 1, 500);
    expect(table.leave(1, 1, 510)).to.equal(-1);
    table.enter(1, 1, 500 + EXPIRY_NS);
    expect(table.leave(1, 1, 507 + EXPIRY_NS)).to.equal(7);
  });

  it('a lost packet is counted, and does not lend its time to a later one', () => {
    table.enter(1, 1, 0);
    table.sweep(EXPIRY_NS);
    expect(table.lost).to.equal(1);
    expect(table.leave(1, 1, EXPIRY_NS + 1)).to.equal(-1);
    table.enter(1, 1, 2 * EXPIRY_NS);
    expect(table.leave(1, 1, 2 * EXPIRY_NS + 3)).to.equal(3);
  });

  it('when it is full the oldest is forgotten, and nothing is confused', () => {
    // The same set for all: only the second half of the key differs.
    for (let key = 0; key < 20; key++) table.enter(8, key, key);
    expect(table.lost).to.equal(12);
    for (let key = 0; key < 20; key++) expect(table.leave(8, key, 100)).to.equal(key < 12 ? -1 : 100 - key);
  });

  it('what was under way when the clock was set back by a lot is forgotten as if its time were over', () => {
    table.enter(1, 1, 1e12);
    table.sweep(1_000);
    expect(table.lost).to.equal(1);
    table.enter(1, 1, 2_000);
    expect(table.leave(1, 1, 2_100)).to.equal(100);
  });

  it('a clock that was set back gives no latency', () => {
    table.enter(1, 1, 100);
    expect(table.leave(1, 1, 50)).to.equal(-1);
  });
});
