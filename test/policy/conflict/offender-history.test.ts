import { expect } from 'chai';
import { NO_OFFENCES, OffenderHistory } from '../../../src/policy/conflict/offender-history.js';
import { CONFLICT } from '../../../src/tunables/index.js';

describe('conflict/offender-history', () => {
  it('keeps a culprit away from the core for its time, and from no other', () => {
    const book = new OffenderHistory();
    book.blame('storm', 1, 20, 'faults', 100);
    expect([...book.of('storm', 119).away]).to.deep.equal([1]);
    expect([...book.of('storm', 120).away]).to.deep.equal([]);
    expect(book.of('other', 110)).to.equal(NO_OFFENCES);
  });

  it('adds up, halves with time and forgives', () => {
    const book = new OffenderHistory();
    book.blame('storm', 1, 0, 'faults', 0);
    book.blame('storm', 1, 0, 'faults', 0);
    expect(book.of('storm', CONFLICT.blameHalfLifeMs).penalty).to.be.closeTo(1, 1e-9);
    expect(book.of('storm', CONFLICT.blameHalfLifeMs * 20)).to.equal(NO_OFFENCES);
  });

  it('tells the owner how often and why, also when it is forgiven, and not many times a second', () => {
    const book = new OffenderHistory();
    expect(book.record('storm', 0)).to.equal(undefined);
    expect(book.blame('storm', 1, 10, 'first', 0)).to.equal(true);
    expect(book.blame('storm', 1, 10, 'second', 50)).to.equal(false);
    const record = book.record('storm', 1e9)!;
    expect(record).to.include({ times: 2, cause: 'second' });
    expect(record.penalty).to.be.lessThan(0.001);
    expect(book.blame('storm', 1, 10, 'again', 1e9)).to.equal(true);
  });

  it('forgets a function that was removed', () => {
    const book = new OffenderHistory();
    book.blame('storm', 1, 1_000, 'faults', 0);
    book.forget('storm');
    expect(book.of('storm', 1)).to.equal(NO_OFFENCES);
  });
});
