import { expect } from 'chai';
import { Board, Core } from '../../src/model/board.js';
import { type SloNoteFacts, sloNote } from '../../src/nf/slo-note.js';
import { OFF } from '../../src/policy/conflict/ladder.js';

const facts = (over: Partial<SloNoteFacts> = {}): SloNoteFacts => ({
  cores: [1],
  notHarvested: undefined,
  throttledPerS: 0,
  ...over,
});

describe('nf/slo-note', () => {
  let board: Board;
  beforeEach(() => {
    board = Board.create(2);
  });

  it('names what stands between the NF and its SLO, the nearest first', () => {
    expect(sloNote(board, facts())).to.include('no function runs on its core');
    board.set(1, Core.functionRatio, 0.5);
    expect(sloNote(board, facts())).to.include('beside functions');
    board.set(1, Core.throttleLevel, 2);
    expect(sloNote(board, facts())).to.include('throttled (half)');
    board.set(1, Core.throttleLevel, OFF);
    expect(sloNote(board, facts())).to.include('off its core until it is well');
    board.set(1, Core.unmeetable, 1);
    expect(sloNote(board, facts())).to.include('late without functions too');
    expect(sloNote(board, facts({ notHarvested: 'its profile says harvest: false' }))).to.include(
      'harvest: false',
    );
    expect(sloNote(board, facts({ throttledPerS: 10 }))).to.include('CPU quota');
  });

  it('says that functions go on where packets are as late without them', () => {
    board.set(1, Core.acquitted, 1);
    expect(sloNote(board, facts())).to.include('as late without functions');
  });

  it('of an NF on several cores the worst counts', () => {
    board.set(0, Core.throttleLevel, OFF);
    expect(sloNote(board, facts({ cores: [0, 1] }))).to.include('off its core');
  });
});
