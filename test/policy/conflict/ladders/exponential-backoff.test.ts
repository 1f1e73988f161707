import { expect } from 'chai';
import type { ConflictLevel } from '../../../../src/policy/conflict/detect.js';
import { FROZEN, LADDER, OFF } from '../../../../src/policy/conflict/ladder.js';
import { exponentialBackoff } from '../../../../src/policy/conflict/ladders/exponential-backoff.js';
import { CONFLICT } from '../../../../src/tunables/index.js';

type State = ReturnType<typeof exponentialBackoff.initial>;
const initialState = (nowMs: number): State => exponentialBackoff.initial(nowMs);
const step = (state: State, verdict: ConflictLevel, nowMs: number, paceMs = 0): number =>
  exponentialBackoff.step(state, verdict, nowMs, paceMs);

describe('the ladder with exponential back-off', () => {
  it('ends in a level where no function is on the core, and never gives more on a higher level', () => {
    expect(LADDER[OFF]!.offCore).to.equal(true);
    for (let i = 1; i < LADDER.length; i++) {
      expect(LADDER[i]!.runningFactor).to.be.at.most(LADDER[i - 1]!.runningFactor);
      expect(LADDER[i]!.quotaRatio ?? 1).to.be.at.most(LADDER[i - 1]!.quotaRatio ?? 1);
    }
  });

  it('goes to frozen at once when the conflict is severe', () => {
    const state = initialState(0);
    expect(step(state, 'severe', 1)).to.equal(FROZEN);
  });

  it('goes down at once by steps while the SLO stays broken', () => {
    const state = initialState(0);
    const seen = [1, 2, 3].map((ms) => step(state, 'broken', ms));
    expect(seen[0]).to.be.at.least(2);
    expect(seen[2]).to.equal(FROZEN);
    expect(seen).to.deep.equal([...seen].sort());
  });

  it('takes only the first level for a leading sign, however long it lasts', () => {
    const state = initialState(0);
    for (let ms = 1; ms < 100; ms++) expect(step(state, 'leading', ms)).to.equal(1);
  });

  it('comes back one level a hold of calm, never faster', () => {
    const state = initialState(0);
    step(state, 'severe', 0);
    let last = FROZEN;
    let changed = 0;
    for (let ms = 1; last > 0 && ms < 10_000; ms++) {
      const level = step(state, 'calm', ms);
      expect(level).to.be.at.least(last - 1);
      if (level < last) {
        expect(ms - changed).to.be.at.least(CONFLICT.holdMinMs);
        changed = ms;
      }
      last = level;
    }
    expect(last).to.equal(0);
  });

  it('waits twice as long after each relapse, up to a bound, and forgets after a quiet time', () => {
    const state = initialState(0);
    let nowMs = 0;
    const holds: number[] = [];
    for (let relapse = 0; relapse < 14; relapse++) {
      step(state, 'severe', ++nowMs);
      holds.push(state.holdMs);
      const before = state.level;
      while (state.level === before && state.level !== OFF) step(state, 'calm', ++nowMs);
    }
    for (let i = 1; i < holds.length; i++) expect(holds[i]).to.be.at.least(holds[i - 1]!);
    expect(holds[4]).to.be.greaterThan(holds[0]!);
    expect(Math.max(...holds)).to.be.at.most(CONFLICT.holdMaxMs);
    nowMs += CONFLICT.relapseMs * 100;
    while (state.level > 0) {
      nowMs += CONFLICT.holdMaxMs;
      step(state, 'calm', nowMs);
    }
    step(state, 'severe', nowMs + CONFLICT.relapseMs * 2);
    expect(state.holdMs).to.equal(CONFLICT.holdMinMs);
  });

  it('does not keep functions frozen for long: they leave the core instead', () => {
    for (const verdict of ['severe', 'broken', 'leading', 'calm'] as const) {
      // A long hold: recovery is not yet due.
      const state = initialState(0);
      state.holdMs = CONFLICT.holdMaxMs;
      step(state, 'severe', 1);
      state.holdMs = CONFLICT.holdMaxMs;
      expect(step(state, verdict, 1 + CONFLICT.frozenMaxMs + 1)).to.equal(OFF);
    }
  });

  it('waits for ten packets where they are rare, and takes trouble soon after for a relapse', () => {
    const state = initialState(0);
    const paceMs = 100;
    step(state, 'severe', 1_000, paceMs);
    expect(state.level).to.equal(FROZEN);
    step(state, 'calm', 1_300, paceMs);
    expect(state.level).to.equal(OFF);
    expect(step(state, 'calm', 2_200, paceMs)).to.equal(OFF);
    expect(step(state, 'calm', 2_300, paceMs)).to.equal(FROZEN - 1);
    // Three packets take longer than the second in which a busy NF shows it.
    step(state, 'severe', 3_500, paceMs);
    expect(state.holdMs).to.be.at.least(2_000);
  });

  it('never waits longer than its longest hold for packets that do not come', () => {
    const state = initialState(0);
    step(state, 'broken', 1_000, 60_000);
    expect(step(state, 'calm', 1_000 + CONFLICT.holdMaxMs, 60_000)).to.equal(1);
  });
});
