import { expect } from 'chai';
import type { MicrovmEngine } from '../../../src/engine/microvm/engine.js';
import { CgroupThrottle } from '../../../src/linux/cgroup/throttle.js';
import type { Sandbox } from '../../../src/sandbox/engine.js';
import { MICROVM } from '../../../src/tunables/index.js';
import { attempt, EVALUATOR, itHoldsAgainstEscapes } from '../../support/escapes.js';
import { MicrovmBench } from '../../support/microvm-bench.js';
import { testKernel } from '../../support/test-kernel.js';
import { letTimePass } from '../../support/waiting.js';

describe('a function that tries to get out of a virtual machine', function () {
  this.timeout(180_000);
  let bench: MicrovmBench;
  let engine: MicrovmEngine;
  const run = async (options = {}): Promise<Sandbox> => {
    const sandbox = await bench.start(engine);
    await bench.load(sandbox, EVALUATOR, options);
    return sandbox;
  };
  before(async () => {
    bench = new MicrovmBench(await testKernel());
    engine = bench.engine();
    await (await bench.start(engine)).kill();
  });
  after(async () => {
    await engine.close();
    await bench.close();
  });

  itHoldsAgainstEscapes({
    run: ({ group: _, ...options } = {}) => run(options),
    codePaths: ['/runner/guest-main.js', '/usr/bin/node', '/bin/sync', '/start'],
    native: true,
    ownKernel: true,
    uids: [MICROVM.firstUid, MICROVM.uidCount],
  });

  it('is accounted, capped and frozen in its group like any other', async () => {
    const sandbox = await run();
    const throttle = new CgroupThrottle(sandbox.cgroup.handle);
    try {
      const spin = `const end = Date.now() + 150; while (Date.now() < end); return 'spun'`;
      expect(await attempt(sandbox, spin)).to.deep.equal({ value: 'spun' });
      expect(throttle.setQuotaRatio(0.5) && throttle.setQuotaRatio(null)).to.equal(true);
      expect(throttle.freeze()).to.equal(true);
      const late = attempt(sandbox, `return Date.now()`);
      // What is frozen does not answer, and uses no time.
      const first = await Promise.race([late, letTimePass(100, 'frozen')]);
      expect(first).to.equal('frozen');
      const usedNs = throttle.readCpuNs();
      await letTimePass(50);
      expect(throttle.readCpuNs()).to.equal(usedNs);
      throttle.thaw();
      // Its clock has not stood still.
      expect(Math.abs(((await late).value as number) - Date.now())).to.be.lessThan(10_000);
    } finally {
      throttle.thaw();
      throttle.close();
      await sandbox.kill();
    }
  });
});
