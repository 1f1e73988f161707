import { expect } from 'chai';
import { RelayPlaces } from '../../src/network/relay-places.js';
import { EGRESS } from '../../src/tunables/index.js';

describe('places of the relay', () => {
  let nowMs: number;
  let places: RelayPlaces;
  let ended: string[];
  const silent = () => 0;
  const share = () => ({ connections: 0 });
  beforeEach(() => {
    nowMs = 0;
    ended = [];
    places = new RelayPlaces(() => nowMs, { connectionsPerFunction: 4, connectionsMax: 8 });
  });
  const take = (of: { connections: number }, name: string, bytes = silent) =>
    places.take(of, bytes, () => ended.push(name));
  /** All of them, by two functions that say nothing. */
  const fill = () => {
    const [a, b] = [share(), share()];
    for (let i = 0; i < 4; i++) {
      take(a, `a${i}`);
      nowMs++;
      take(b, `b${i}`);
    }
    return [a, b] as const;
  };

  it('are so many for a function, however many there are', () => {
    const one = share();
    const leave = [1, 2, 3, 4].map((i) => take(one, `${i}`));
    expect(take(one, '5')).to.equal(undefined);
    leave[0]!();
    // Twice is once.
    leave[0]!();
    expect(one.connections).to.equal(3);
    expect(take(one, '6')).to.not.equal(undefined);
  });

  it('are kept by those that have just come, and given up by silent ones for another function', () => {
    const [a, b] = fill();
    const c = share();
    expect(take(c, 'c')).to.equal(undefined);
    nowMs += EGRESS.idleMs;
    expect(take(c, 'c')).to.not.equal(undefined);
    // The longest silent one; then one of whom has most.
    expect(take(c, 'c')).to.not.equal(undefined);
    expect(ended).to.deep.equal(['a0', 'b0']);
    expect([a.connections, b.connections, c.connections]).to.deep.equal([3, 3, 2]);
  });

  it('are kept by those that say something', () => {
    const a = share();
    let bytes = 0;
    for (const name of ['a0', 'a1', 'a2', 'a3']) take(a, name, () => bytes);
    const b = share();
    for (const name of ['b0', 'b1', 'b2', 'b3']) take(b, name, () => bytes);
    for (let i = 0; i < 10; i++) {
      nowMs += EGRESS.idleMs / 2;
      bytes++;
      expect(take(share(), 'c')).to.equal(undefined);
    }
    expect(ended).to.deep.equal([]);
  });
});
