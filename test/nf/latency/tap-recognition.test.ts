import { expect } from 'chai';
import { TapRecognition } from '../../../src/nf/latency/tap-recognition.js';
import { TAP } from '../../../src/tunables/index.js';

const MANY = 10 * TAP.blindPackets;

describe('a tap that looks whether it recognises packets', () => {
  let recognition: TapRecognition;
  let passed: number;
  let matched: number;
  beforeEach(() => {
    [passed, matched] = [1_000, 50];
    recognition = new TapRecognition(passed, matched);
  });
  const check = (more: number, recognised: number, shift = 0) => {
    passed += more;
    matched += recognised;
    return recognition.check(passed, matched, shift);
  };
  /** The check at which it is blind, if `more` packets pass before each and none is recognised. */
  const blindAt = (more: number, shift = 0): number => {
    for (let n = 1; n < 1_000; n++) if (check(more, 0, shift) === 'blind') return n;
    return Number.POSITIVE_INFINITY;
  };

  it('is blind when packets pass and none is recognised, but not at once', () => {
    expect(blindAt(MANY)).to.equal(TAP.blindLooks);
  });

  it('is not blind without traffic, nor for a stray packet now and then', () => {
    expect(blindAt(0)).to.equal(Number.POSITIVE_INFINITY);
    expect(blindAt(1)).to.equal(Number.POSITIVE_INFINITY);
  });

  it('counts only packets that it would measure', () => {
    expect(blindAt(MANY, 10)).to.be.above(TAP.blindLooks);
  });

  it('takes fewer matches than that for chance, and waits longer once it has recognised packets', () => {
    expect(check(MANY, TAP.provenPackets - 1)).to.equal('waits');
    expect(check(MANY, 1)).to.equal('recognises');
    expect(check(MANY, 1)).to.equal('recognises');
    expect(blindAt(MANY)).to.equal(TAP.blindLooksProven);
  });
});
