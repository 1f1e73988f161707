/** Synthetic flows: number, versions, sizes, popularity, repeatability. */

import { expect } from 'chai';
import { IMIX, makeFlowFrames } from '../../src/packet/flows.js';
import { checksumFault, parsed } from './frames.js';

const flowOf = (frame: Uint8Array) => parsed(frame).tuple.join();

describe('flow frames', () => {
  it('start with one frame of each flow, all sound, with the share of IPv6 that was asked for', () => {
    const frames = makeFlowFrames({ flows: 3_000, ipv6Ratio: 0.25, seed: 1 });
    expect(new Set(frames.map(flowOf)).size).to.equal(3_000);
    expect(frames.filter((frame) => parsed(frame).version === 6)).to.have.length(750);
    for (const frame of frames) if (checksumFault(frame) !== '') expect.fail(checksumFault(frame));
  });

  it('have the sizes of the mix, and room for the payload', () => {
    const frames = makeFlowFrames({ flows: 12_000, sizes: IMIX, protocol: 'tcp', seed: 2 });
    const share = (bytes: number) => frames.filter(({ length }) => length === bytes).length / frames.length;
    expect(share(60)).to.be.within(0.56, 0.61);
    expect(share(590)).to.be.within(0.31, 0.36);
    expect(share(60) + share(590) + share(1514)).to.equal(1);
    const stamped = makeFlowFrames({ flows: 2, ipv6Ratio: 0.5, payloadMinBytes: 32, seed: 2 });
    expect(stamped.map(({ length }) => length).sort()).to.deep.equal([42 + 32, 62 + 32]);
  });

  it('make few flows popular if skewed', () => {
    const frames = makeFlowFrames({ flows: 100, frames: 10_100, skew: 1, seed: 3 });
    const top = flowOf(frames[0]!);
    // The first of 100 Zipf ranks has 1 / H(100) = 19 %.
    expect(frames.slice(100).filter((frame) => flowOf(frame) === top).length / 10_000).to.be.within(
      0.17,
      0.22,
    );
  });

  it('are the same for the same seed', () => {
    const options = { flows: 50, frames: 100, sizes: IMIX, seed: 4 };
    expect(makeFlowFrames(options)).to.deep.equal(makeFlowFrames(options));
    expect(makeFlowFrames({ ...options, seed: 5 })).to.not.deep.equal(makeFlowFrames(options));
  });

  it('refuse impossible numbers', () => {
    for (const bad of [
      { flows: 0 },
      { flows: 5, frames: 4 },
      { flows: 1, sizes: [] },
      { flows: 1, sizes: [{ bytes: 0, share: 1 }] },
    ]) {
      expect(() => makeFlowFrames({ seed: 1, ...bad }))
        .to.throw()
        .with.property('code', 'BAD_CONFIG');
    }
  });
});
