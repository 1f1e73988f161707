import { expect } from 'chai';
import { CONFINED, ISOLATE, MICROVM, OCI, SANDBOX, WASM } from '../../src/tunables/index.js';

describe('the users of sandboxes', () => {
  it('are of one engine each, and none of them of what reads strangers’ bytes', () => {
    const ranges: Array<[first: number, count: number]> = [
      [MICROVM.firstUid, MICROVM.uidCount + 1],
      [CONFINED.firstUid, CONFINED.uidCount],
      [OCI.firstUid, SANDBOX.uidCount],
      [WASM.firstUid, ISOLATE.uidCount],
      [ISOLATE.firstUid, ISOLATE.uidCount],
      [SANDBOX.firstUid, SANDBOX.uidCount],
    ];
    ranges.sort(([a], [b]) => a - b);
    for (const [i, [first, count]] of ranges.entries())
      expect(first + count).to.be.at.most(ranges[i + 1]?.[0] ?? 65_534);
  });
});
