/**
 * Protects an NF: its packet threads get the scheduling that its profile asks for, and their own back on release; its
 * process is among the last that the kernel ends when memory runs out, and keeps what it uses.
 * Order is everything: the journal is written first, then the thread is changed; restored first, then forgotten.
 */

import { totalmem } from 'node:os';
import { join } from 'node:path';
import { readStanding } from '../linux/cgroup/standing.js';
import { startTicks } from '../linux/process.js';
import { getScheduling, setScheduling } from '../linux/sched.js';
import { NemoError } from '../model/errors.js';
import type { NfInstance, NfProfile } from '../model/nf-profile.js';
import { NF } from '../tunables/index.js';
import { Guardian, type Watched } from './guardian.js';
import { MEMORY_MIN } from './memory-journal.js';
import { MemoryMin } from './memory-min.js';
import { OOM_SCORES, OomScores } from './oom-scores.js';
import {
  ifItCan,
  type JournalEntry,
  journalPath,
  restoreLeftovers,
  restoreThread,
  writeJournal,
} from './protection-journal.js';
import { realTimeRefusal } from './standing.js';

export interface ProtectionReport {
  /** What its packet threads have now: `fifo:50`, `nice:-15`, `own:fifo:80` (left as it was), `none`. */
  applied: string;
  /** Messages about what could not be done as asked. */
  warnings: string[];
}

interface Protected extends JournalEntry {
  nfId: string;
  applied: string;
}

export class NfProtection {
  /** Threads that a dead agent, and its guardian, had left changed. */
  readonly restoredAtStart: number;
  private readonly threads = new Map<number, Protected>();

  private constructor(
    private readonly journal: string,
    restoredAtStart: number,
    private readonly guardian: Guardian,
    private readonly oomScores: OomScores,
    private readonly memoryMin: MemoryMin,
  ) {
    this.restoredAtStart = restoredAtStart;
  }

  /**
   * Puts back what a dead agent left, and sets the guardian. `stateDir` belongs to one agent at a time. Rejects with
   * STORE for a file that is not a journal, and MISSING_PACKAGE.
   */
  static async start(
    stateDir: string,
    groups: Omit<Watched, 'journal'> = {},
    oomScoreAdj: number = NF.oomScoreAdj,
  ): Promise<NfProtection> {
    const journal = journalPath(stateDir);
    const restored = restoreLeftovers(journal);
    return new NfProtection(
      journal,
      restored,
      await Guardian.watch({ journal, ...groups }),
      new OomScores(join(stateDir, OOM_SCORES), oomScoreAdj),
      new MemoryMin(join(stateDir, MEMORY_MIN), totalmem() * NF.memoryMinShare),
    );
  }

  /** For tests and for the doctor. */
  get guardianPid(): number {
    return this.guardian.pid;
  }

  /**
   * Idempotent; call it again when the NF's threads have changed. Threads that end meanwhile are not an error. Throws where what
   * the NF had cannot be written down, as on a full disk; then it has that still, or the same call goes on from there.
   */
  protect(nf: NfInstance): ProtectionReport {
    const { kind } = nf.profile.protection;
    const packetTids = kind === 'none' ? [] : nf.threads.filter((t) => t.packet).map((t) => t.tid);
    this.releaseThreads((thread) => thread.nfId === nf.id && !packetTids.includes(thread.tid));
    const report: ProtectionReport = { applied: 'none', warnings: [] };
    if (kind !== 'none') {
      this.oomScores.protect(nf.id, nf.pid);
      const why = this.memoryMin.protect(nf.id, nf);
      if (why !== undefined) report.warnings.push(why);
    }
    const added: Protected[] = [];
    for (const tid of packetTids) {
      const ours = this.threads.get(tid);
      if (ours !== undefined && ours.startTicks === startTicks(tid)) {
        report.applied = ours.applied;
        continue;
      }
      const found = this.inspect(nf, tid);
      if (typeof found === 'string') report.applied = found;
      else if (found !== undefined) added.push(found);
    }
    if (added.length === 0) return report;
    for (const thread of added) this.threads.set(thread.tid, thread);
    try {
      this.save();
    } catch (thrown) {
      for (const { tid } of added) this.threads.delete(tid);
      throw thrown;
    }
    for (const thread of added) {
      const refusal = realTimeRefusal(readStanding(nf.pid, thread.tid));
      // Writing took a while: what has this number now may be somebody else's thread.
      if (threadStart(nf, thread.tid) !== thread.startTicks) continue;
      thread.applied = apply(nf.profile.protection, thread.tid, nf.id, refusal, report.warnings);
      if (thread.applied !== 'none') report.applied = thread.applied;
    }
    return report;
  }

  /** Puts the NF's own scheduling back. No effect for an NF that is gone or was never protected. */
  release(nfId: string): void {
    this.releaseThreads((thread) => thread.nfId === nfId);
    this.oomScores.release(nfId);
    this.memoryMin.release(nfId);
  }

  /** What a guarded NF uses may have grown: call it now and then. */
  followMemory(nf: NfInstance): void {
    if (this.memoryMin.hasGrown(nf.id)) this.memoryMin.protect(nf.id, nf);
  }

  /** Puts everything back and ends the guardian. */
  async close(): Promise<void> {
    this.releaseThreads(() => true);
    this.oomScores.releaseAll();
    this.memoryMin.releaseAll();
    await this.guardian.close();
  }

  /** The entry of a thread to protect; its description if it has real-time scheduling of its own; undefined if gone. */
  private inspect(nf: NfInstance, tid: number): Protected | string | undefined {
    const ticks = threadStart(nf, tid);
    if (ticks === undefined) return undefined;
    try {
      const { policy, ...rest } = getScheduling(tid);
      // The NF's owner has decided already; lowering it would be no protection.
      if (policy === 'fifo' || policy === 'rr' || policy === 'deadline')
        return `own:${policy}:${rest.priority}`;
      return { tid, startTicks: ticks, policy, ...rest, nfId: nf.id, applied: 'none' };
    } catch (thrown) {
      if (errnoOf(thrown) === 'ESRCH') return undefined;
      throw thrown;
    }
  }

  private releaseThreads(which: (thread: Protected) => boolean): void {
    const leaving = [...this.threads.values()].filter(which);
    if (leaving.length === 0) return;
    for (const thread of leaving) {
      restoreThread(thread);
      this.threads.delete(thread.tid);
    }
    ifItCan(() => this.save());
  }

  private save(): void {
    writeJournal(this.journal, [...this.threads.values()]);
  }
}

/** When a thread of this NF, and of no other process, started; undefined if it or the NF is gone. */
function threadStart({ pid, startTicks: nfTicks }: NfInstance, tid: number): number | undefined {
  const ticks = startTicks(tid, pid);
  return startTicks(pid) === nfTicks ? ticks : undefined;
}

/** The priority in `applied` of a report, if NEMO gave one. */
export function fifoPriorityOf(applied: string): number | undefined {
  return applied.startsWith('fifo:') ? Number(applied.slice('fifo:'.length)) : undefined;
}

/** Returns what the thread has now. `refusal`: why FIFO is not given, though the profile asks for it. */
function apply(
  protection: NfProfile['protection'],
  tid: number,
  nfId: string,
  refusal: string | undefined,
  warnings: string[],
): string {
  // What the thread creates later must not inherit: nobody would put it back there.
  const resetOnFork = true;
  try {
    if (protection.kind === 'nice') return applyNice(tid, protection.value ?? NF.fallbackNice);
    const priority = protection.value ?? 1;
    const instead = (why: string): string => {
      const applied = applyNice(tid, NF.fallbackNice);
      warnings.push(`thread ${tid} of ${nfId} has nice ${NF.fallbackNice} instead of FIFO: ${why}`);
      return applied;
    };
    // Once its budget is used up it would be stopped for the rest of each period: that would not protect it.
    if (refusal !== undefined) return instead(refusal);
    try {
      setScheduling(tid, { policy: 'fifo', priority, resetOnFork });
      return `fifo:${priority}`;
    } catch (thrown) {
      if (errnoOf(thrown) !== 'EPERM') throw thrown;
      return instead(
        'the kernel refuses it, for want of CAP_SYS_NICE, or of real-time runtime in its cgroup ' +
          '(write 950000 to its cpu.rt_runtime_us, after those of the groups above it)',
      );
    }
  } catch (thrown) {
    if (errnoOf(thrown) === 'ESRCH') return 'none';
    throw thrown;
  }
}

function applyNice(tid: number, nice: number): string {
  setScheduling(tid, { policy: 'other', nice, resetOnFork: true });
  return `nice:${nice}`;
}

function errnoOf(thrown: unknown): unknown {
  return thrown instanceof NemoError ? thrown.details?.errno : undefined;
}
