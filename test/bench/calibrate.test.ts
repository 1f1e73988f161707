/** The search for what 100 % load is, against NFs made of arithmetic. */

import { expect } from 'chai';
import { findCapacity, type Trial } from '../../bench/calibrate.js';

const LIMITS = { firstPerS: 45_000, maxPerS: 90_000 };

/** An NF that forwards so many packets/s, behind a generator that can send so many. */
const nf =
  (canDo: number, canSend = Number.POSITIVE_INFINITY) =>
  async (perS: number): Promise<Trial> => ({
    perS,
    lossRatio: perS > canDo ? 1 - canDo / perS : 0,
    nfRatio: Math.min(1, perS / canDo),
    notSentRatio: perS > canSend ? 1 - canSend / perS : 0,
  });

describe('calibration of 100 % load', () => {
  for (const canDo of [3_000, 20_000, 46_000, 61_000, 80_000]) {
    it(`finds what an NF of ${canDo} packets/s can do, from below`, async () => {
      const { packetsPerS, limitedBy, trials } = await findCapacity(nf(canDo), LIMITS);
      expect(packetsPerS).to.be.within(canDo * 0.8, canDo);
      expect(limitedBy).to.equal('nf');
      expect(trials.length).to.be.at.most(9);
    });
  }

  it('says so where the NF could do more than the generator may send', async () => {
    const { packetsPerS, limitedBy } = await findCapacity(nf(500_000), LIMITS);
    expect(packetsPerS).to.equal(90_000);
    expect(limitedBy).to.equal('nothing found below the cap');
  });

  it('says so where the generator falls behind first', async () => {
    const { packetsPerS, limitedBy } = await findCapacity(nf(500_000, 60_000), LIMITS);
    expect(packetsPerS).to.be.within(48_000, 61_300);
    expect(limitedBy).to.equal('generator');
  });

  it('gives up on an NF that forwards nothing', async () => {
    const outcome = await findCapacity(nf(0), LIMITS).catch((thrown) => String(thrown));
    expect(outcome).to.include('lost packets at every rate tried');
  });

  it('takes a few lost packets for what they are, a stall of the machine', async () => {
    const leaky = async (perS: number): Promise<Trial> => ({
      ...(await nf(60_000)(perS)),
      lossRatio: perS > 60_000 ? 0.2 : 0.0004,
    });
    expect((await findCapacity(leaky, LIMITS)).packetsPerS).to.be.within(50_000, 60_000);
  });
});
