import { expect } from 'chai';
import { BUCKET_COUNT, LatencyBuckets } from '../../../src/model/latency-buckets.js';
import { findBreach } from '../../../src/policy/conflict/breach.js';

describe('the packet that broke the SLO', () => {
  const US = 1_000;
  const START = 1_700_000_000e9;
  const SLO_NS = 200 * US;

  /** Packets as [latency, when received], both in microseconds; the last tick looked at `sinceUs`. */
  const cases: Array<[string, Array<[number, number]>, number, number | undefined]> = [
    ['is none without packets', [], 0, undefined],
    ['is none while all are in time', [[150, 900]], 1_000, undefined],
    [
      'is the one that was late',
      [
        [150, 900],
        [400, 700],
      ],
      1_000,
      700,
    ],
    [
      'is of several the one received first',
      [
        [300, 900],
        [900, 400],
        [600, 800],
      ],
      1_000,
      400,
    ],
    [
      'is none that the last tick knew already',
      [
        [400, 100],
        [300, 800],
      ],
      1_000,
      800,
    ],
    ['is none if all left before the last tick', [[400, 100]], 1_000, undefined],
  ];
  for (const [what, packets, sinceUs, receivedUs] of cases) {
    it(what, () => {
      const arrivals = new Float64Array(BUCKET_COUNT);
      const buckets = new LatencyBuckets(undefined, arrivals);
      for (const [latencyUs, atUs] of packets) buckets.recordPacket(latencyUs * US, START + atUs * US);
      const expected = receivedUs === undefined ? undefined : START + receivedUs * US;
      expect(findBreach(arrivals, SLO_NS, START + sinceUs * US)?.receivedUnixNs).to.equal(expected);
    });
  }
});
