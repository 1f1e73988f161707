/**
 * One harvest of a real NF: the agent as its users run it, a busy function called without pause, and the NF's state
 * before and after. What a test then expects of the figures stands in the test.
 */

import { cpus } from 'node:os';
import { BUSY_CODE } from '../../../bench/workloads.js';
import type { UserConfig } from '../../../src/config/config-schema.js';
import { AgentProcess } from '../../../src/lab/agent-process.js';
import { Callers } from '../../../src/lab/callers.js';
import { onlineCores } from '../../../src/linux/online-cores.js';
import { listThreads } from '../../../src/linux/process.js';
import { getScheduling } from '../../../src/linux/sched.js';
import type { FeedCore, FeedEvent, FeedFrame, FeedNf } from '../../../src/model/feed.js';

export interface HarvestOptions<T> {
  /** The NF's core. */
  core: number;
  /** Which of the NFs in the feed is meant. */
  isNf: (nf: FeedNf) => boolean;
  /** Process whose threads must be scheduled as before when all is over; 0: none. */
  pid: number;
  config?: Partial<UserConfig>;
  /** False: the core is to be left alone. */
  harvested?: boolean;
  /** Measures the NF while functions run (or would). */
  measure: (agent: AgentProcess) => Promise<T>;
}

export interface Harvest<T> {
  measured: T;
  nf: FeedNf;
  /** Of the NF's core, over the measured time. */
  wallS: number;
  nfS: number;
  /**
   * Functions' and the NF's part of the time that they left idle or took: strays of this machine, which stand between
   * the two in rank, make both less, but not these.
   */
  functionsTook: number;
  nfTook: number;
  core: FeedCore;
  calls: { completed: number; failed: number; firstError: string | undefined };
  events: FeedEvent[];
  /** The SLO was kept at the end, as the agent sees it; null without a source. */
  sloHeld: boolean | null;
  before: string;
  after: string;
}

/** Patience with a busy machine; an idle one needs a second. */
const START_MS = 60_000;
/** Time for calls to begin, elsewhere than on a core that is left alone. */
const UNHARVESTED_MS = 4_000;

/** `test`: skipped where other programs leave nothing of the core. */
export async function harvest<T>(test: Mocha.Context, options: HarvestOptions<T>): Promise<Harvest<T>> {
  const { core, isNf, pid, harvested = true } = options;
  const before = schedulingOf(pid);
  const agent = await AgentProcess.start({
    cores: { functions: [core], housekeeping: onlineCores().filter((other) => other !== core) },
    ...options.config,
  });
  let seen: Omit<Harvest<T>, 'after'>;
  try {
    await agent.deploy('busy', BUSY_CODE);
    if (!(await agent.until((frame) => frame.nfs.some(isNf), START_MS)))
      throw new Error(`the agent found no such NF: ${await told(agent)}`);
    const callers = new Callers(agent.url, 2);
    callers.start('/function/busy?ms=5');
    try {
      // Where strays have the core, a sandbox at SCHED_IDLE takes long to come up.
      const ran = (frame: FeedFrame) => coreOf(frame, core).totals.functionS > 0.05;
      if (harvested) {
        const [fromMs, idleFromS] = [performance.now(), idleS(core)];
        if (!(await agent.until(ran, START_MS))) {
          const idleShare = (idleS(core) - idleFromS) / ((performance.now() - fromMs) / 1000);
          // Others kept the whole core: there was nothing to harvest, and nothing to be seen of how it is done.
          if (idleShare < 0.02) return test.skip();
          throw new Error(`no function ran on core ${core}: ${await told(agent)}`);
        }
      } else await agent.until((frame) => frame.functions[0]!.completed > 0, UNHARVESTED_MS);
      callers.take();
      const from = coreOf(await agent.status(), core);
      const idleFromS = idleS(core);
      const measured = await options.measure(agent);
      const idle = idleS(core) - idleFromS;
      const frame = await agent.status();
      const to = coreOf(frame, core);
      const { completed, failed, firstError } = callers.take();
      const nf = frame.nfs.find(isNf);
      if (nf === undefined) throw new Error('the agent lost the NF while it was measured');
      seen = {
        measured,
        nf,
        wallS: to.totals.wallS - from.totals.wallS,
        nfS: to.totals.nfS - from.totals.nfS,
        functionsTook: shareOf(to.totals.functionS - from.totals.functionS, idle),
        nfTook: shareOf(to.totals.nfS - from.totals.nfS, idle),
        core: to,
        calls: { completed, failed, firstError },
        events: frame.events,
        sloHeld: nf.sloHeld,
        before,
      };
      // One stall of the machine may stand in the last second's p99; a function in the NF's way would stay there.
      if (
        nf.sloHeld === false &&
        (await agent.until((later) => later.nfs.find(isNf)?.sloHeld === true, START_MS))
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

/** 1 where nothing was left. */
function shareOf(tookS: number, idle: number): number {
  return tookS + idle === 0 ? 1 : tookS / (tookS + idle);
}

/** Time in which nobody used the core, since the machine started. */
function idleS(core: number): number {
  return cpus()[core]!.times.idle / 1000;
}

async function told(agent: AgentProcess): Promise<string> {
  const { nfs, events, functions } = await agent.status();
  const said = events.map(({ message }) => message).join('\n');
  return `\n${JSON.stringify(nfs)}\n${JSON.stringify(functions)}\n${said}`;
}
