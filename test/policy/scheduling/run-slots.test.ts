import { expect } from 'chai';
import { allowedMs, isOverdue } from '../../../src/policy/deadlines/call-deadline.js';
import { afterAttempt, mayStartOne } from '../../../src/policy/scheduling/pass-over.js';
import {
  budgetBeside,
  hasFreeRunSlot,
  newcomersCore,
  type RunSlots,
  standbyCore,
  yieldsRunSlot,
} from '../../../src/policy/scheduling/run-slots.js';
import { HARVEST } from '../../../src/tunables/index.js';

const MOST = HARVEST.sharingMax;
const LONG = HARVEST.quantumMs + 1;
const slots = (over: Partial<RunSlots> = {}): RunSlots => ({
  ...{
    core: 1,
    running: 0,
    standby: 0,
    lasting: 0,
    budgetRunning: 1,
    throttleLevel: 0,
    predictedSpareRatio: 0.5,
  },
  ...over,
});

describe('policy/scheduling: run slots', () => {
  it('gives one more turn beside a call that has held its own for a quantum', () => {
    const cases: Array<[what: string, over: Partial<RunSlots>, heldMs: number, budget: number]> = [
      ['it is short yet', {}, HARVEST.quantumMs, 1],
      ['it is long', {}, LONG, 2],
      ['others were long already', { budgetRunning: 3 }, LONG, 4],
      ['as many share as may', { budgetRunning: MOST }, LONG, MOST],
      ['the core may run nothing', { budgetRunning: 0 }, LONG, 0],
      ['the core is throttled', { throttleLevel: 1 }, LONG, 1],
      ['it has no turn yet', {}, Number.NaN, 1],
      ['turns are not counted', { budgetRunning: Number.POSITIVE_INFINITY }, LONG, Number.POSITIVE_INFINITY],
    ];
    for (const [what, over, heldMs, budget] of cases) {
      expect(budgetBeside(slots(over), heldMs), what).to.equal(budget);
    }
    expect(hasFreeRunSlot(slots())).to.equal(true);
    expect(hasFreeRunSlot(slots({ running: 1 }))).to.equal(false);
  });

  it('stages beside the most spare time, and only where a quantum brings a turn', () => {
    const cases: Array<[what: string, cores: RunSlots[], away: number[], core: number | undefined]> = [
      ['there are no cores', [], [], undefined],
      ['one has more spare time', [slots(), slots({ core: 2, predictedSpareRatio: 0.9 })], [], 2],
      ['the function keeps away from it', [slots(), slots({ core: 2, predictedSpareRatio: 0.9 })], [2], 1],
      ['somebody is on standby', [slots({ standby: 1 })], [], undefined],
      ['it is throttled', [slots({ throttleLevel: 1 })], [], undefined],
      ['it may run nothing', [slots({ budgetRunning: 0 })], [], undefined],
      ['as many share as may', [slots({ budgetRunning: MOST, running: MOST })], [], undefined],
    ];
    for (const [what, cores, away, core] of cases) {
      expect(standbyCore(cores, 1, new Set(away)), what).to.equal(core);
    }
  });

  it('gives one more turn to a function of which nothing runs where all that share the core last', () => {
    const full = { running: MOST, lasting: MOST, budgetRunning: MOST };
    const cases: Array<[what: string, cores: RunSlots[], away: number[], core: number | undefined]> = [
      ['all of them last', [slots(full)], [], 1],
      ['the last newcomer lasts too', [slots({ ...full, running: MOST + 1, lasting: MOST + 1 })], [], 1],
      [
        'elsewhere there are fewer',
        [slots({ ...full, running: 12, lasting: 12 }), slots({ ...full, core: 2 })],
        [],
        2,
      ],
      ['one is short yet', [slots({ ...full, lasting: MOST - 1 })], [], undefined],
      ['fewer share it than may', [slots({ running: 2, lasting: 2, budgetRunning: 3 })], [], undefined],
      ['the function keeps away from it', [slots(full)], [1], undefined],
      ['it is throttled', [slots({ ...full, throttleLevel: 1 })], [], undefined],
      ['it may run nothing', [slots({ ...full, budgetRunning: 0 })], [], undefined],
    ];
    for (const [what, cores, away, core] of cases) {
      expect(newcomersCore(cores, new Set(away)), what).to.equal(core);
    }
  });

  it('gives a turn away only to one that is on standby on the same core', () => {
    const one = { core: 1, running: true };
    const cases: Array<
      [{ core: number; running: boolean }, Array<{ core: number; running: boolean }>, boolean]
    > = [
      [one, [one], false],
      [one, [one, { core: 1, running: true }], false],
      [one, [one, { core: 2, running: false }], false],
      [one, [one, { core: 1, running: false }], true],
      [{ core: 1, running: false }, [{ core: 1, running: false }], false],
    ];
    for (const [of, contenders, yields] of cases) expect(yieldsRunSlot(of, contenders)).to.equal(yields);
  });

  it('lets others pass one that waits for its own sandbox, or keeps away, and none that waits for a place', () => {
    const cases = { sent: 'again', starting: 'next', 'keeps away': 'next', 'no place': 'stop' } as const;
    for (const [placed, then] of Object.entries(cases)) {
      expect(afterAttempt(placed as keyof typeof cases), placed).to.equal(then);
    }
  });

  it('makes no more sandboxes than calls that wait, or than may run at once', () => {
    const cases: Array<[starting: number, queued: number, places: number, warm: number, may: boolean]> = [
      [0, 1, 3, 0, true],
      [1, 1, 3, 0, false],
      [1, 2, 3, 0, true],
      [1, 9, 3, 2, false],
      // Always one: its warm ones may be where no call may run.
      [0, 9, 3, 9, true],
      [9, 99, Number.POSITIVE_INFINITY, 50, true],
    ];
    for (const [starting, queued, places, warm, may] of cases) {
      expect(mayStartOne(starting, queued, places, warm)).to.equal(may);
    }
  });
});

describe('policy/deadlines', () => {
  it('gives a call its time, and a quantum more if it may have to wait for its turn', () => {
    expect([allowedMs(100, true), allowedMs(100, false)]).to.deep.equal([100, 100 + HARVEST.quantumMs]);
  });

  it('is over at the moment itself, and never before the call has begun', () => {
    const cases: Array<[deadlineMs: number, nowMs: number, over: boolean]> = [
      [100, 99, false],
      [100, 100, true],
      [Number.NaN, 1e9, false],
      [Number.POSITIVE_INFINITY, 1e9, false],
    ];
    for (const [deadlineMs, nowMs, over] of cases) expect(isOverdue(deadlineMs, nowMs)).to.equal(over);
  });
});
