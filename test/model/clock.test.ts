import { expect } from 'chai';
import { type Clock, realClock, type Timer, VirtualClock } from '../../src/model/clock.js';

/** Both keep these, whoever turns them. */
for (const [name, open] of [
  ['the real clock', () => ({ clock: realClock, until: (done: Promise<unknown>) => done })],
  [
    'a virtual clock',
    () => {
      const clock = new VirtualClock(5);
      return {
        clock,
        until: (done: Promise<unknown>) => {
          clock.advance(1_000);
          return done;
        },
      };
    },
  ],
] as Array<[string, () => { clock: Clock; until: (done: Promise<unknown>) => Promise<unknown> }]>) {
  describe(name, () => {
    it('calls a timer when its time has come and not before, and none that was cancelled', async () => {
      const { clock, until } = open();
      const fromMs = clock.nowMs();
      const seen: string[] = [];
      const keptAwake = setInterval(() => {}, 1_000);
      const never = clock.after(1, () => seen.push('cancelled'));
      await until(
        new Promise<void>((done) => {
          clock.after(30, () => {
            seen.push('later');
            done();
          });
          clock.after(10.5, () => seen.push(clock.nowMs() - fromMs >= 10 ? 'sooner' : 'too early'));
          expect(seen).to.deep.equal([]);
          clock.cancel(never);
          clock.cancel(undefined);
        }),
      );
      clearInterval(keptAwake);
      expect(seen).to.deep.equal(['sooner', 'later']);
    });

    it('calls a periodic one until it is cancelled, also from within', async () => {
      const { clock, until } = open();
      let calls = 0;
      const keptAwake = setInterval(() => {}, 1_000);
      await until(
        new Promise<void>((done) => {
          const timer: Timer = clock.every(3, () => {
            if (++calls < 3) return;
            clock.cancel(timer);
            clock.after(20, done);
          });
        }),
      );
      clearInterval(keptAwake);
      expect(calls).to.equal(3);
    });
  });
}

describe('a virtual clock that is turned', () => {
  it('stands at the moment of each timer, those of one moment in order, also ones that are set up meanwhile', () => {
    const clock = new VirtualClock();
    const seen: Array<[string, number]> = [];
    const note = (what: string) => () => void seen.push([what, clock.nowMs()]);
    clock.after(20, note('second'));
    clock.after(10, () => {
      note('first')();
      clock.after(10, note('third'));
    });
    expect(clock.nextMs).to.equal(10);
    clock.advance(15);
    expect([seen, clock.nowMs()]).to.deep.equal([[['first', 10]], 15]);
    expect([clock.runNext(), clock.runNext(), clock.runNext()]).to.deep.equal([true, true, false]);
    expect(seen.slice(1)).to.deep.equal([
      ['second', 20],
      ['third', 20],
    ]);
  });

  it('never goes back', () => {
    const clock = new VirtualClock(100);
    clock.moveTo(50);
    expect(clock.nowMs()).to.equal(100);
  });
});
