import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { MicrovmBench } from '../../support/microvm-bench.js';
import { ask } from '../../support/sandboxes.js';
import { testKernel } from '../../support/test-kernel.js';

describe('machines from a snapshot on disk', function () {
  this.timeout(180_000);

  it('map its file for reading only, and tell which pages a start needs', async () => {
    const bench = new MicrovmBench(await testKernel());
    const engine = bench.engine({ stores: [{ path: 'state', budgetBytes: 4e9 }] });
    try {
      for (let i = 0; i < 2; i++) {
        const sandbox = await bench.start(engine);
        await bench.load(
          sandbox,
          'const all = {}; export default (event) => ((all[event] = 1), Object.keys(all))',
        );
        expect(await ask(sandbox, i)).to.deep.equal([`${i}`]);
        const stemNow = () => engine.snapshots.list().find(({ key }) => key === 'stem-128')!;
        while (stemNow().workingSetBytes === undefined) await new Promise(setImmediate);
        const memory = join(bench.stateDir, 'snapshots', 'stem-128', 'memory');
        expect(statSync(memory).mode & 0o777).to.equal(0o600);
        const opened = readFileSync(sandbox.cgroup.joinPaths[0]!, 'utf8')
          .split('\n')
          .filter(Boolean)
          .flatMap((pid) => accessTo(statSync(memory).ino, pid));
        expect(opened).to.include('r');
        expect(opened).to.not.include('w');
        await sandbox.kill();
        await engine.snapshots.placed();
        const stem = stemNow();
        expect(stem.tier).to.equal('disk');
        expect(stem.workingSetBytes)
          .to.be.greaterThan(10e6)
          .and.lessThan(stem.bytes * 1.1);
      }
    } finally {
      await engine.close();
      await bench.close();
    }
  });
});

/** `r` or `w` for each descriptor of the process for this file. */
function accessTo(inode: number, pid: string): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    if (statSync(`/proc/${pid}/fd/${fd}`, { throwIfNoEntry: false })?.ino !== inode) return [];
    const flags = /^flags:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/fdinfo/${fd}`, 'utf8'))![1]!;
    return [(Number.parseInt(flags, 8) & 3) === 0 ? 'r' : 'w'];
  });
}
