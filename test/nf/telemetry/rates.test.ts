import { expect } from 'chai';
import { readPmdStats } from '../../../src/nf/telemetry/ovs.js';
import { ratesOf } from '../../../src/nf/telemetry/rates.js';

const counters = (packets: number, drops: number, cycles?: number, busyCycles?: number) => ({
  packets,
  drops,
  cycles,
  busyCycles,
});

describe('telemetry rates', () => {
  it('come from the difference of two looks', () => {
    const rates = ratesOf(counters(100, 1, 1000, 500), counters(300, 2, 2000, 600), 2);
    expect(rates).to.deep.equal({ packetsPerS: 100, dropsPerS: 0.5, busyRatio: 0.1 });
  });

  it('without cycles the busy share is unknown, not zero', () => {
    expect(ratesOf(counters(0, 0), counters(10, 0), 1)!.busyRatio).to.be.NaN;
    expect(ratesOf(counters(0, 0, 5, 1), counters(10, 0, 5, 1), 1)!.busyRatio).to.be.NaN;
  });

  it('counters that its owner cleared begin anew', () => {
    expect(ratesOf(counters(100, 0, 10, 5), counters(3, 0, 20, 6), 1)).to.equal(undefined);
    expect(ratesOf(counters(0, 0, 10, 5), counters(3, 0, 2, 1), 1)).to.equal(undefined);
  });

  it('what cannot be is refused', () => {
    expect(() => ratesOf(counters(0, 0), counters(1e15, 0), 1)).to.throw(/packets\/s, which cannot be/);
    expect(() => ratesOf(counters(0, 0, 0, 0), counters(1, 0, 10, 11), 1)).to.throw(/11 busy cycles of 10/);
  });
});

describe('telemetry of Open vSwitch', () => {
  const thread = (core: number, idle: number, busy: number) => `pmd thread numa_id 0 core_id ${core}:
  packets received: 1000
  packet recirculations: 0
  miss with failed upcall: 2
  idle cycles: ${idle} (90.00%)
  processing cycles: ${busy} (10.00%)
  avg cycles per packet: 1.00 (1/1)
`;
  const main = 'main thread:\n  packets received: 77\n  miss with failed upcall: 5\n';

  it('is summed over its polling threads alone', () => {
    expect(readPmdStats(`${thread(1, 900, 100)}${thread(2, 500, 500)}${main}`)).to.deep.equal({
      packets: 2000,
      drops: 4,
      cycles: 2000,
      busyCycles: 600,
    });
  });

  it('is refused when a figure is missing, or every thread', () => {
    expect(() => readPmdStats(thread(1, 1, 1).replace(/ {2}idle.*\n/, ''))).to.throw(
      /idle cycles is missing/,
    );
    expect(() => readPmdStats(main)).to.throw(/no polling thread/);
  });
});
