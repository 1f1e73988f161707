import { expect } from 'chai';
import { LentRead } from '../../src/streams/lent-bytes.js';

describe('memory of a read that is lent in parts', () => {
  const canGiveBack = 'transfer' in ArrayBuffer.prototype;
  const lentRead = new LentRead();
  const read = (bytes = 64 * 1024): Buffer => {
    const buffer = Buffer.allocUnsafeSlow(bytes);
    lentRead.begin(buffer);
    return buffer;
  };
  const isGone = (buffer: Buffer): boolean => buffer.length === 0;
  before(function () {
    if (!canGiveBack) this.skip();
  });

  it('is given back with the last part, and not before its end', () => {
    const bytes = read();
    const first = lentRead.lend(bytes.subarray(0, 10_000));
    const second = lentRead.lend(bytes.subarray(10_000));
    first();
    second();
    expect(isGone(bytes)).to.equal(false);
    const third = lentRead.lend(bytes.subarray(20_000));
    lentRead.end();
    expect(isGone(bytes)).to.equal(false);
    third();
    expect(isGone(bytes)).to.equal(true);
  });

  it('is given back at once where nothing of it was lent, only copied', () => {
    const bytes = read();
    const whole = Buffer.allocUnsafeSlow(256 * 1024);
    const sent = lentRead.lend(whole);
    lentRead.end();
    expect([isGone(bytes), isGone(whole)]).to.deep.equal([true, false]);
    sent();
    expect(isGone(whole)).to.equal(true);
  });

  it('stays where somebody else may use it: what was kept, a write that failed, memory that is shared', () => {
    const kept = read();
    lentRead.keep();
    lentRead.lend(kept.subarray(5))();
    lentRead.end();
    const failed = read();
    lentRead.lend(failed)(new Error('the connection broke'));
    lentRead.end();
    const shared = read().subarray(0, 32 * 1024);
    lentRead.begin(shared);
    lentRead.end();
    expect([kept, failed, shared].map(isGone)).to.deep.equal([false, false, false]);
  });
});
