/** The flow table against a plain Map, and its expiry, bound and callbacks. */

import { expect } from 'chai';
import { FlowTable, reverseTuple } from '../../../src/packet/functions/flow-table.js';
import { Random } from '../../../src/packet/random.js';

function keyOf(number: number): Int32Array {
  return Int32Array.of(number, 0, 0, 0, 99, 0, 0, 0, (number << 16) | 7, 17);
}

function reversed(key: Int32Array): Int32Array {
  const result = new Int32Array(10);
  reverseTuple(key, result);
  return result;
}

describe('flow table', () => {
  it('behaves like a map of flows under random inserts, lookups, touches, removals and expiry', () => {
    const random = new Random(11);
    const timeoutsMs = [50, 200];
    const removed: number[] = [];
    const table = new FlowTable({ maxFlows: 300, timeoutsMs, onRemove: (entry) => removed.push(entry) });
    const model = new Map<number, { entry: number; lastMs: number; list: number }>();
    const alive = (number: number, now: number) => {
      const flow = model.get(number);
      return flow !== undefined && now - flow.lastMs < timeoutsMs[flow.list]!;
    };
    let inserted = 0;
    let full = 0;
    for (let step = 0, now = 0; step < 60_000; step++) {
      now += random.below(20) === 0 ? 5 : 0;
      table.expire(now);
      const number = random.below(600);
      const key = keyOf(number);
      const side = random.below(2);
      const found = table.find(side === 0 ? key : reversed(key), now);
      if (alive(number, now) !== found >= 0) expect.fail(`step ${step}: flow ${number} found as ${found}`);
      const list = random.below(2);
      if (found >= 0) {
        const flow = model.get(number)!;
        expect(found).to.equal(flow.entry * 2 + side);
        if (random.below(4) === 0) {
          table.remove(flow.entry);
          model.delete(number);
        } else {
          table.touch(flow.entry, list, now);
          Object.assign(flow, { lastMs: now, list });
        }
      } else {
        const entry = table.insert(key, reversed(key), list, now);
        if (entry >= 0) {
          model.set(number, { entry, lastMs: now, list });
          inserted++;
        } else {
          full++;
          expect([...model.keys()].filter((other) => alive(other, now)).length).to.equal(300);
        }
      }
    }
    expect(full).to.be.above(0);
    expect(inserted - removed.length).to.equal(table.size);
  });

  it('forgets everything in the end, a few at a time', () => {
    const table = new FlowTable({ maxFlows: 1000, timeoutsMs: [100] });
    for (let i = 0; i < 1000; i++) table.insert(keyOf(i), reversed(keyOf(i)), 0, 0);
    table.expire(99);
    expect(table.size).to.equal(1000);
    table.expire(100);
    expect(table.size).to.be.within(900, 999);
    for (let i = 0; i < 100; i++) table.expire(100);
    expect(table.size).to.equal(0);
    expect(table.insert(keyOf(1), reversed(keyOf(1)), 0, 101)).to.be.at.least(0);
  });

  it('never exceeds its bound, and makes room as soon as a flow is over', () => {
    const table = new FlowTable({ maxFlows: 4, timeoutsMs: [100] });
    for (let i = 0; i < 4; i++) expect(table.insert(keyOf(i), reversed(keyOf(i)), 0, i)).to.be.at.least(0);
    expect(table.insert(keyOf(9), reversed(keyOf(9)), 0, 99)).to.equal(-1);
    expect(table.insert(keyOf(9), reversed(keyOf(9)), 0, 100)).to.be.at.least(0);
    expect(table.find(keyOf(0), 100)).to.equal(-1);
    expect(table.find(keyOf(1), 100)).to.be.at.least(0);
  });
});
