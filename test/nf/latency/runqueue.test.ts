import { spawn } from 'node:child_process';
import { expect } from 'chai';
import { setAffinity } from '../../../src/linux/sched.js';
import { endProcess } from '../../../src/linux/tied-process.js';
import { LatencyBuckets } from '../../../src/model/latency-buckets.js';
import { RunqueueSource } from '../../../src/nf/latency/runqueue.js';
import { until } from '../../support/waiting.js';

describe('latency source `runqueue`', () => {
  it('sees a thread wait for a core that it shares', async () => {
    const busy = [0, 1].map(() => spawn('sh', ['-c', 'while :; do :; done'], { stdio: 'ignore' }));
    try {
      for (const child of busy) setAffinity(child.pid!, [0]);
      const pid = busy[0]!.pid!;
      const source = new RunqueueSource(pid, [pid]);
      const into = new LatencyBuckets();
      // Two threads that never sleep take turns of a scheduler slice, which is never below a tenth of a millisecond;
      // between two turns there are milliseconds in which this one just runs.
      await until(() => source.sample(into) > 0 && into.quantileNs(1) > 100_000);
      expect(source.fault).to.equal(undefined);
      source.close();
    } finally {
      await Promise.all(busy.map((child) => endProcess(child)));
    }
  });

  it('sees nothing of a thread that sleeps, and says when its threads are gone', async () => {
    const child = spawn('sleep', ['600'], { stdio: 'ignore' });
    const source = new RunqueueSource(child.pid!, [child.pid!]);
    const into = new LatencyBuckets();
    await endProcess(child);
    source.sample(into);
    expect(source.sample(into)).to.equal(0);
    expect(source.fault).to.match(/none of its packet threads/);
    source.close();
  });
});
