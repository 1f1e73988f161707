import { truncateSync } from 'node:fs';
import { expect } from 'chai';
import { LatencyBuckets } from '../../../src/model/latency-buckets.js';
import { openLatencySource } from '../../../src/nf/latency/open.js';
import { SharedLatencyWriter } from '../../../src/packet/shared-latency.js';
import { NF } from '../../../src/tunables/index.js';

describe('latency source `reported`', () => {
  const spec = { kind: 'reported', pid: process.pid } as const;
  let into: LatencyBuckets;
  beforeEach(() => {
    into = new LatencyBuckets();
  });

  it('adds what was reported since the last look, and nothing from before the first', () => {
    const writer = SharedLatencyWriter.create();
    writer.buckets.record(7);
    const source = openLatencySource(spec);
    try {
      expect(source.sample(into)).to.equal(0);
      writer.buckets.record(3);
      writer.buckets.record(9);
      expect(source.sample(into)).to.equal(2);
      expect(source.sample(into)).to.equal(0);
      expect([into.counts[3], into.counts[7], into.counts[9]]).to.deep.equal([1, 0, 1]);
      expect(source.fault).to.equal(undefined);
    } finally {
      source.close();
      writer.close();
    }
  });

  it('waits for an NF that has not made its report yet', () => {
    const source = openLatencySource(spec);
    expect(source.fault).to.match(/is not there/);
    const writer = SharedLatencyWriter.create();
    try {
      for (let tick = 0; tick < NF.reportRetryTicks; tick++) source.sample(into);
      expect(source.fault).to.equal(undefined);
      writer.buckets.record(3);
      expect(source.sample(into)).to.equal(1);
    } finally {
      source.close();
      writer.close();
    }
  });

  it('a report that is cut is a fault for as long as it is', () => {
    const writer = SharedLatencyWriter.create();
    const source = openLatencySource(spec);
    try {
      truncateSync(writer.path, 0);
      expect(source.sample(into)).to.equal(0);
      expect(source.fault).to.match(/too short/);
      for (let tick = 0; tick < 2 * NF.reportRetryTicks; tick++) source.sample(into);
      expect(source.fault).to.match(/too short/);
    } finally {
      source.close();
      writer.close();
    }
  });

  it('counters that go back are a fault, not four thousand million packets', () => {
    const writer = SharedLatencyWriter.create();
    writer.buckets.record(3);
    const source = openLatencySource(spec);
    try {
      writer.buckets.counts[3] = 0;
      expect(source.sample(into)).to.equal(0);
      expect(into.total()).to.equal(0);
      expect(source.fault).to.match(/went back/);
      // It is looked at again, and believed with its next packet.
      for (let tick = 0; tick <= NF.reportRetryTicks; tick++) source.sample(into);
      expect(source.fault).to.match(/went back/);
      writer.buckets.record(3);
      expect(source.sample(into)).to.equal(1);
      expect(source.fault).to.equal(undefined);
    } finally {
      source.close();
      writer.close();
    }
  });
});
