/** Boundary: what comes from a queue. Attacker: who may add to it. */

import { expect } from 'chai';
import { callOf } from '../../src/triggers/stream-entry.js';
import { QUEUE } from '../../src/tunables/index.js';

describe('escape: entries of a queue', () => {
  it('are not made JSON where that takes the thread long: 6 MB of control characters were 36 MB, and 130 ms', () => {
    const fields = [Buffer.from('x'), Buffer.alloc(QUEUE.entryMaxBytes - 1, 1)];
    expect(() => callOf(fields)).to.throw(/without a field 'body'/);
    const [name] = fields;
    expect(callOf([name!, Buffer.alloc(QUEUE.asJsonMaxBytes - 1, 'a')]).headers).to.deep.equal({
      'content-type': 'application/json',
    });
  });

  it('that have a body are taken whole', () => {
    const body = Buffer.alloc(QUEUE.entryMaxBytes - 4, 1);
    expect(callOf([Buffer.from('body'), body]).body).to.equal(body);
  });
});
