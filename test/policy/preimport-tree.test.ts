import { expect } from 'chai';
import { createPolicies } from '../../src/policy/policies.js';
import type { ImportingFunction, ImportSnapshot, PreimportStem } from '../../src/policy/prewarm/policy.js';
import { RecentTimes } from '../../src/policy/usage/recent-times.js';

const NOW_MS = 1_000_000;
const MIB = 2 ** 20;
const COSTS: Record<string, { loadMs: number; bytes: number }> = {
  a: { loadMs: 20, bytes: MIB },
  b: { loadMs: 10, bytes: MIB },
  c: { loadMs: 5, bytes: MIB },
  huge: { loadMs: 25, bytes: 200 * MIB },
  tiny: { loadMs: 1, bytes: MIB },
};

/** A function that imports these, and for which no sandbox was ready so many times, `agoMs` ago. */
function imports(packages: string, starts = 0, { group = 'me', agoMs = 60_000 } = {}): ImportingFunction {
  const misses = new RecentTimes();
  for (let i = 0; i < starts; i++) misses.record(NOW_MS - agoMs);
  return { group, packages: packages.split(' ').map((hash) => ({ hash, ...COSTS[hash]! })), misses };
}
function tree(functions: ImportingFunction[], zygotes = 4, over: Partial<ImportSnapshot> = {}): string[] {
  const { prewarm } = createPolicies({ prewarm: { policy: 'template', zygotes } });
  return prewarm.zygotes!({ functions, refused: () => false, ...over }, NOW_MS).map(
    ({ group, hashes, stems }: PreimportStem) => `${group}: ${hashes.join(' ')} x${stems}`,
  );
}

describe('sandbox/prewarm: the tree of stems that have imported packages', () => {
  it('has what functions import, and grows no further than its budget', () => {
    expect(tree([imports('b a')])).to.deep.equal(['me: a b x1']);
    expect(tree([imports('a b'), imports('b c', 9)], 1)).to.deep.equal(['me: b c x1']);
    expect(tree([imports('a b'), imports('b c', 9)], 2)).to.deep.equal(['me: b c x1', 'me: a b x1']);
    expect(tree([imports('a b')], 0)).to.deep.equal([]);
    expect(tree([])).to.deep.equal([]);
  });

  it('takes what several have in common where there is no budget for each', () => {
    const three = [imports('a b', 5), imports('a c', 5), imports('a', 5)];
    expect(tree(three, 1)).to.deep.equal(['me: a x1']);
    expect(tree(three, 2)).to.deep.equal(['me: a x1', 'me: a b x1']);
  });

  it('keeps no stem that saves little, and prefers little memory for the same time', () => {
    expect(tree([imports('tiny', 60)])).to.deep.equal([]);
    expect(tree([imports('huge', 5), imports('a', 5)], 1)).to.deep.equal(['me: a x1']);
  });

  it('has more stems of one kind after starts that came together, and for no others', () => {
    expect(tree([imports('a', 5, { agoMs: 1_000 })])).to.deep.equal(['me: a x4']);
    expect(tree([imports('a', 2, { agoMs: 1_000 })])).to.deep.equal(['me: a x2']);
    expect(tree([imports('a', 5, { agoMs: 60_000 })])).to.deep.equal(['me: a x1']);
  });

  it('counts starts of its window only, and lets groups share nothing', () => {
    const old = imports('a', 60, { agoMs: 900_000 });
    expect(tree([old, imports('b', 4)], 1)).to.deep.equal(['me: b x1']);
    const two = [imports('a', 1), imports('a', 1, { group: 'other' })];
    expect(tree(two)).to.have.members(['me: a x1', 'other: a x1']);
  });

  it('leaves out what failed together, and takes less in its place', () => {
    const refused = (hashes: readonly string[]) => hashes.join() === 'a,b';
    expect(tree([imports('a b'), imports('a c')], 4, { refused })).to.deep.equal(['me: a x1', 'me: a c x1']);
  });

  it('bears many functions with many packages', () => {
    const all = Array.from({ length: 3_000 }, (_, i) =>
      imports(['a', 'b', 'c'].slice(0, 1 + (i % 3)).join(' ')),
    );
    expect(tree(all)).to.deep.equal(['me: a x1', 'me: a b x1', 'me: a b c x1']);
  });
});
