/**
 * One harvest of a real NF: the agent as its users run it, a busy function called without pause, and the NF's state
 * before and after. What a test then expects of the figures stands in the test.
 */

import { AgentProcess } from '../../../bench/agent-process.js';
import { Callers } from '../../../bench/callers.js';
import { BUSY_CODE } from '../../../bench/workloads.js';
import type { UserConfig } from '../../../src/config.js';
import { onlineCores } from '../../../src/linux/online-cores.js';
import { listThreads } from '../../../src/linux/process.js';
import { getScheduling } from '../../../src/linux/sched.js';
import type { FeedCore, FeedEvent, FeedFrame, FeedNf } from '../../../src/telemetry/feed.js';

export interface HarvestOptions<T> {
  /** The NF's core. */
  core: number;
  /** Which of the NFs in the feed is meant. */
  isNf: (nf: FeedNf) => boolean;
  /** Process whose threads must be scheduled as before when all is over; 0: none. */
  pid: number;
  config?: Partial<UserConfig>;
  /** Measures the NF while functions run (or would). */
  measure: (agent: AgentProcess) => Promise<T>;
}

export interface Harvest<T> {
  measured: T;
  nf: FeedNf;
  /** Of the NF's core, over the measured time. */
  functionS: number;
  wallS: number;
  nfS: number;
  core: FeedCore;
  calls: { completed: number; failed: number; firstError: string | undefined };
  events: FeedEvent[];
  /** The SLO was kept at the end, as the agent sees it; null without a source. */
  sloHeld: boolean | null;
  before: string;
  after: string;
}

export async function harvest<T>(options: HarvestOptions<T>): Promise<Harvest<T>> {
  const { core, isNf, pid } = options;
  const before = schedulingOf(pid);
  const agent = await AgentProcess.start({
    cores: { functions: [core], housekeeping: onlineCores().filter((other) => other !== core) },
    ...options.config,
  });
  let seen: Omit<Harvest<T>, 'after'>;
  try {
    await agent.deploy('busy', BUSY_CODE);
    if (!(await agent.until((frame) => frame.nfs.some(isNf), 5_000))) {
      const { nfs, events } = await agent.status();
      const said = events.map(({ message }) => message).join('\n');
      throw new Error(`the agent found no such NF:\n${JSON.stringify(nfs)}\n${said}`);
    }
    // A core that is not harvested never gets one: the test sees that in the figures.
    await agent.until((frame) => frame.functions[0]!.sandboxes.some((s) => s.state === 'warm'), 4_000);
    const callers = new Callers(agent.url, 2);
    callers.start('/function/busy?ms=5');
    try {
      await agent.until((frame) => frame.functions[0]!.completed > 0, 4_000);
      callers.take();
      const from = coreOf(await agent.status(), core);
      const measured = await options.measure(agent);
      const frame = await agent.status();
      const to = coreOf(frame, core);
      const { completed, failed, firstError } = callers.take();
      const nf = frame.nfs.find(isNf);
      if (nf === undefined) throw new Error('the agent lost the NF while it was measured');
      seen = {
        measured,
        nf,
        functionS: to.totals.functionS - from.totals.functionS,
        wallS: to.totals.wallS - from.totals.wallS,
        nfS: to.totals.nfS - from.totals.nfS,
        core: to,
        calls: { completed, failed, firstError },
        events: frame.events,
        sloHeld: nf.sloHeld,
        before,
      };
      // One stall of the machine may stand in the last second's p99; a function in the NF's way would stay there.
      if (
        nf.sloHeld === false &&
        (await agent.until((later) => later.nfs.find(isNf)?.sloHeld === true, 5_000))
      ) {
        seen.sloHeld = true;
      }
    } finally {
      await callers.stop();
    }
  } finally {
    await agent.stop();
  }
  return { ...seen, after: schedulingOf(pid) };
}

/** Policy, priority, nice value and cores of every thread. */
export function schedulingOf(pid: number): string {
  if (pid === 0) return '';
  return listThreads(pid)
    .map(({ tid, cpus }) => `${tid} ${JSON.stringify(getScheduling(tid))} ${cpus}`)
    .sort()
    .join('\n');
}

function coreOf(frame: FeedFrame, core: number): FeedCore {
  return frame.cores.find((candidate) => candidate.core === core)!;
}
