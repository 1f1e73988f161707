import { expect } from 'chai';
import { committedBytes, memoryCapacity } from '../../src/policy/admission/capacity.js';

const GI = 2 ** 30;
const BOX = {
  totalBytes: 16 * GI,
  availableBytes: 10 * GI,
  reserveBytes: GI,
  configuredBytes: undefined as number | undefined,
  overcommit: 1,
};

describe('memory for sandboxes', () => {
  for (const [what, change, limits, use, warns] of [
    ['is what is free, less a reserve', {}, 9, 9, 0],
    ['is never more than the box has', { availableBytes: 40 * GI }, 15, 15, 0],
    ['is nothing on a box that is full', { availableBytes: GI / 2 }, 0, 0, 0],
    ['is what the operator says', { configuredBytes: 4 * GI }, 4, 4, 0],
    ['may be more than is free now, which is said', { configuredBytes: 12 * GI }, 12, 12, 1],
    ['stays below the box whatever is configured, which is said', { configuredBytes: 64 * GI }, 15, 15, 1],
    ['may be over-committed in limits, not in use, which is said', { overcommit: 1.5 }, 13.5, 9, 1],
  ] as const) {
    it(what, () => {
      const { limitsBytes, useBytes, warnings } = memoryCapacity({ ...BOX, ...change });
      expect([limitsBytes / GI, useBytes / GI, warnings.length]).to.deep.equal([limits, use, warns]);
    });
  }

  it('counts a shared process once, with at most its own limit', () => {
    const wasm = Array.from({ length: 2_000 }, () => ({
      bytes: 128 * 2 ** 20,
      processBytes: 0,
      share: 'wasm:acme',
    }));
    expect(committedBytes(wasm, 4 * GI)).to.equal(4 * GI);
    expect(committedBytes(wasm.slice(0, 2), 4 * GI)).to.equal(256 * 2 ** 20);
    const others = [
      { bytes: GI, processBytes: 0, share: 'isolate:acme' },
      { bytes: GI, processBytes: 0, share: undefined },
      { bytes: GI, processBytes: 0, share: undefined },
    ];
    expect(committedBytes([...wasm, ...others], 4 * GI)).to.equal(7 * GI);
  });
});
