import { expect } from 'chai';
import type { CoreFacts } from '../../../src/model/core-facts.js';
import { CoreKeeper } from '../../../src/nf/core-keeper.js';
import { excludedCores } from '../../../src/policy/harvest/excluded-cores.js';

/** Four CPUs on two physical cores, as Linux numbers them: 0 and 2 are siblings, 1 and 3 are. */
const topology = (offline: number[] = []): CoreFacts[] =>
  [0, 1, 2, 3].map((id) => ({
    id,
    online: !offline.includes(id),
    packageId: 0,
    coreId: id % 2,
    siblings: offline.includes(id) ? [] : [(id + 2) % 4].filter((other) => !offline.includes(other)),
    llcSharers: [],
    isolated: false,
    nohzFull: false,
  }));
const cores = (nfs: Array<[number, string]>, allow = false, facts = topology()) =>
  excludedCores(facts, [1, 2, 3], new Map(nfs), allow).map(({ core }) => core);

describe('cores that no function may use', () => {
  it('are the siblings of NF cores, not the NF cores themselves', () => {
    expect(cores([])).to.deep.equal([]);
    expect(cores([[1, 'nat-7']])).to.deep.equal([3]);
    expect(cores([[0, 'nat-7']])).to.deep.equal([2]);
  });

  it('are both when an NF is on each', () => {
    const nfs: Array<[number, string]> = [
      [1, 'nat-7'],
      [3, 'nat-8'],
    ];
    expect(cores(nfs)).to.deep.equal([1, 3]);
  });

  it('are none where siblings are allowed', () => {
    expect(cores([[1, 'nat-7']], true)).to.deep.equal([]);
  });

  it('are those that are offline or not there', () => {
    expect(cores([[1, 'nat-7']], true, topology([1]))).to.deep.equal([1]);
    expect(cores([], false, topology().slice(0, 3))).to.deep.equal([3]);
  });

  it('are one of each pair, and those beside the agent, where the kernel does not keep functions apart', () => {
    const apart = (nfs: Array<[number, string]>, functionCores: number[], allow = false) =>
      excludedCores(topology(), functionCores, new Map(nfs), allow, new Map(), [0]).map(({ core }) => core);
    expect(apart([], [1, 2, 3])).to.deep.equal([2, 3]);
    // The NF's own core is the one of the pair that is harvested.
    expect(apart([[3, 'nat-7']], [1, 2, 3])).to.deep.equal([1, 2]);
    // A core beside the agent rather than none.
    expect(apart([], [2])).to.deep.equal([]);
    expect(apart([], [1, 2, 3], true)).to.deep.equal([]);
  });

  it('name the NF, and the way to allow it', () => {
    const [barred] = excludedCores(topology(), [3], new Map([[1, 'nat-7']]), false);
    expect(barred!.why).to.match(/core 3 shares .* core 1 of nat-7.*allowSmtSiblings/);
  });
});

describe('the keeper of the function cores', () => {
  it('says each change once, and has functions leave', () => {
    let facts = topology();
    const warnings: string[] = [];
    const left: number[] = [];
    const keeper = new CoreKeeper({
      functionCores: [1, 3],
      allowSmtSiblings: false,
      topology: () => facts,
      onWarning: (message) => warnings.push(message),
      onExcluded: (core) => left.push(core),
    });
    const nfs = new Map([[1, 'nat-7']]);
    expect(keeper.check(new Map())).to.equal(false);
    expect(keeper.check(nfs)).to.equal(true);
    expect(keeper.check(nfs)).to.equal(false);
    expect(keeper.barred).to.deep.equal([3]);
    // The NF's core is unplugged: the kernel lets the NF run anywhere, so it has no core of its own any more.
    facts = topology([1]);
    keeper.check(new Map());
    expect(keeper.barred).to.deep.equal([1]);
    facts = topology();
    keeper.check(new Map());
    expect(keeper.barred).to.deep.equal([]);
    expect(left).to.deep.equal([3, 1]);
    expect(warnings.map((text) => text.replace(/:.*/, ''))).to.deep.equal([
      'core 3 shares a physical core with core 1 of nat-7',
      'core 1 is offline',
      'core 3 may be used by functions again',
      'core 1 may be used by functions again',
    ]);
  });
});
