import { expect } from 'chai';
import { LeadingSigns, queueIsLong } from '../../../src/policy/conflict/leading.js';
import { CONFLICT } from '../../../src/tunables/index.js';

const INTERFACES = 2;
const SOCKETS = 3;

/** What is said of each look at a counter; a look is its growth and whether functions ran. */
function judge(index: number, looks: Array<[growth: number, functionsRan: boolean]>): boolean[] {
  const signs = new LeadingSigns();
  let value = 1_000;
  signs.observe(index, value, false);
  return looks.map(([growth, ran]) => {
    value += growth;
    return signs.observe(index, value, ran);
  });
}

const times = <T>(count: number, one: T): T[] => Array.from({ length: count }, () => one);

describe('conflict/leading', () => {
  it('takes growth while functions run for a sign', () => {
    expect(
      judge(SOCKETS, [
        [0, true],
        [1, true],
        [0, true],
      ]),
    ).to.deep.equal([false, true, false]);
  });

  it('blames no function for what grew without one', () => {
    expect(judge(SOCKETS, [[500, false]])).to.deep.equal([false]);
  });

  it('does not mind a few stray drops of interfaces', () => {
    expect(judge(INTERFACES, [[19, true]])).to.deep.equal([false]);
    expect(judge(INTERFACES, [[20, true]])).to.deep.equal([true]);
  });

  it('what is usual without functions is no sign with them, but much more is', () => {
    const calm = times(50, [100, false] as [number, boolean]);
    expect(judge(INTERFACES, [...calm, [120, true]]).at(-1)).to.equal(false);
    expect(judge(INTERFACES, [...calm, [100 * CONFLICT.leadingGrowth + 50, true]]).at(-1)).to.equal(true);
  });

  it('what goes on and on with functions becomes usual', () => {
    const said = judge(INTERFACES, times(200, [100, true] as [number, boolean]));
    expect(said[0]).to.equal(true);
    expect(said.at(-1)).to.equal(false);
  });

  it('a counter that begins anew is not taken for growth', () => {
    const signs = new LeadingSigns();
    signs.observe(SOCKETS, 1_000, true);
    expect(signs.observe(SOCKETS, 3, true)).to.equal(false);
    expect(signs.observe(SOCKETS, 4, true)).to.equal(true);
    expect(signs.totals[SOCKETS]).to.equal(1);
  });

  it('long queues are a sign by themselves', () => {
    expect(queueIsLong(CONFLICT.leadingQueueBytes, CONFLICT.leadingConnections)).to.equal(false);
    expect(queueIsLong(CONFLICT.leadingQueueBytes + 1, 0)).to.equal(true);
    expect(queueIsLong(0, CONFLICT.leadingConnections + 1)).to.equal(true);
  });
});
