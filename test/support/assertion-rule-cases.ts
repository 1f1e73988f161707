/** Tests that the rule is tried on: what their titles say is what becomes of them. Not run by themselves. */

import assert from 'node:assert/strict';
import { expect } from 'chai';
import { later, letTimePass } from './waiting.js';

describe('passes', () => {
  it('with an assertion', () => {
    expect(1).to.equal(1);
  });
  it('with one after a wait', async () => {
    await letTimePass(1);
    expect([1]).to.have.length(1);
  });
  it('with one in a callback that it waits for', async () => {
    await new Promise<void>((done) =>
      later(1, () => {
        expect(1).to.be.greaterThan(0);
        done();
      }),
    );
  });
  it('with one of node', () => assert.equal(1, 1));
});

describe('fails', () => {
  // An assertion of a hook is none of the test's.
  beforeEach(() => {
    expect(1).to.equal(1);
  });
  it('without an assertion', () => {});
  it('without one after a wait', () => letTimePass(1));
  it('with an expectation that nothing is asked of', () => {
    expect(1);
  });
  it('with assertions in a loop over nothing', () => {
    for (const one of [] as number[]) expect(one).to.equal(1);
  });
});

describe('is left out', () => {
  it('by its author');
  it('by itself', function () {
    this.skip();
  });
});
