/**
 * The thread of a probe. It stays in its network namespace, blocks on its socket, and runs above other work of its core:
 * its own wait for that core would read as latency of the NF. One probe is under way at a time.
 */

import { parentPort, workerData } from 'node:worker_threads';
import { monotonicNs } from '../../linux/clock.js';
import { gettid } from '../../linux/libc.js';
import { insideNamespace } from '../../linux/netns.js';
import { setScheduling } from '../../linux/sched.js';
import { Board, Head } from '../../model/board.js';
import { asNemoError, NemoError } from '../../model/errors.js';
import { PROBE } from '../../tunables/index.js';
import type { ProbeWorkerData } from './probers.js';
import { createProber, UNANSWERED } from './probers.js';
import { TapMemory } from './tap-memory.js';

const data = workerData as ProbeWorkerData;
const memory = TapMemory.over(data.shared);
const board = data.board === undefined ? undefined : Board.over(data.board);

function run(): void {
  const prober = createProber(data);
  const statistics = { matched: 0, lost: 0, ambiguous: 0, unknown: 0, missed: 0, oneIn: 1 };
  const periodMs = data.periodMs ?? PROBE.periodMs;
  let pauseMs = periodMs;
  while (!memory.pause(pauseMs)) {
    const fromNs = monotonicNs();
    try {
      // Who has never answered may be no service that answers: nothing is late then.
      if (statistics.matched > 0) memory.asked[0] = fromNs;
      const latencyNs = prober.probe();
      memory.asked[0] = 0;
      if (latencyNs === UNANSWERED && statistics.matched === 0) {
        // It may be no service that answers at all: that says nothing about its latency.
        throw new NemoError('NOT_FOUND', `${data.host ?? 'the NF'} has not answered a single probe`);
      }
      if (latencyNs === UNANSWERED) statistics.lost++;
      else statistics.matched++;
      // What has not come yet took at least so long: a hanging NF must not read as one without traffic.
      memory.buckets.record(latencyNs === UNANSWERED ? PROBE.timeoutMs * 1e6 : latencyNs);
      memory.mend();
      memory.publish(statistics);
      const idle = board !== undefined && board.head(Head.activeWanted) === 0;
      const usedMs = (monotonicNs() - fromNs) / 1e6;
      pauseMs = Math.max(1, (idle ? Math.max(PROBE.idlePeriodMs, periodMs) : periodMs) - usedMs);
    } catch (thrown) {
      memory.asked[0] = 0;
      memory.fail(asNemoError(thrown).message);
      pauseMs = PROBE.retryMs;
    }
  }
  prober.close();
}

try {
  try {
    setScheduling(gettid(), { policy: 'fifo', priority: PROBE.fifoPriority, resetOnFork: true });
  } catch {
    // Where the kernel refuses, the figures hold this thread's own waits too.
  }
  insideNamespace(data.namespacePath, () => {
    parentPort!.postMessage('ready');
    run();
  });
} catch (thrown) {
  const error = asNemoError(thrown);
  memory.fail(error.message);
  parentPort!.postMessage(error.toJSON());
}
