import { expect } from 'chai';
import { createEventLog } from '../../src/telemetry/event-log.js';

describe('event log', () => {
  const make = (count: number, kept = 8) => {
    const log = createEventLog(kept);
    for (let i = 1; i <= count; i++) log.emit({ kind: 'warning', severity: 'info', message: `m${i}` });
    return log;
  };

  it('numbers events from 1 and gives those after a number, oldest first', () => {
    const log = make(3);
    expect(log.since(0, 10).map(({ seq, message }) => `${seq} ${message}`)).to.deep.equal([
      '1 m1',
      '2 m2',
      '3 m3',
    ]);
    expect(log.since(2, 10).map(({ seq }) => seq)).to.deep.equal([3]);
    expect(log.since(3, 10)).to.deep.equal([]);
    expect(log.since(99, 10)).to.deep.equal([]);
  });

  it('gives the newest when asked for fewer', () => {
    expect(
      make(3)
        .since(0, 2)
        .map(({ seq }) => seq),
    ).to.deep.equal([2, 3]);
    expect(make(3).since(0, 0)).to.deep.equal([]);
  });

  it('forgets the oldest', () => {
    const log = make(11);
    expect(log.since(0, 100).map(({ seq }) => seq)).to.deep.equal([8, 9, 10, 11]);
    expect(log.since(9, 100).map(({ seq }) => seq)).to.deep.equal([10, 11]);
  });

  it('returns the event as it stands in the log', () => {
    const log = make(0);
    const event = log.emit({ kind: 'nf-found', severity: 'warning', message: 'm', nf: 'nginx-1' });
    expect(log.since(0, 1)).to.deep.equal([event]);
    expect(event.timeMs).to.be.closeTo(Date.now(), 60_000);
  });
});
