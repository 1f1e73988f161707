/**
 * While an NF is guarded, the kernel's out-of-memory killer takes nearly everything else first: its process has a low
 * `oom_score_adj` (proc(5)), and its own again on release. What it was is on disk before it is changed; the guardian reads
 * that with `sed`. What an NF forks meanwhile inherits the score, so its children that have just ours get the old one back
 * too: ours is a number that nobody else uses. Lowering a score needs CAP_SYS_RESOURCE; without it, all stays as it is.
 */

import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname } from 'node:path';
import { readIfThere, textIfThere } from '../linux/if-there.js';
import { listPids, processStat, startTicks } from '../linux/process.js';
import { NF } from '../tunables/index.js';
import { ifItCan } from './protection-journal.js';

interface Entry {
  pid: number;
  startTicks: number;
  /** What it was, and what it is while the NF is guarded. */
  score: number;
  ours: number;
}

/** Beside the journal of scheduling; the guardian finds it by this name. */
export const OOM_SCORES = 'oom-scores';
const LINE = /^(\d+) (\d+) (-?\d+) (-?\d+)$/;

export class OomScores {
  private readonly entries = new Map<number, Entry & { nfId: string }>();
  private refused = false;

  /** Puts back what a dead agent and its guardian left. */
  constructor(
    private readonly path: string,
    private readonly ours: number = NF.oomScoreAdj,
  ) {
    for (const entry of readEntries(path)) restore(entry);
    rmSync(path, { force: true });
  }

  /** Idempotent. No effect on a process that is gone, or where the kernel refuses. Throws if the journal cannot be written. */
  protect(nfId: string, pid: number): void {
    const ticks = startTicks(pid);
    if (this.refused || ticks === undefined || this.entries.get(pid)?.startTicks === ticks) return;
    const { ours } = this;
    const score = readScore(pid);
    // Its owner has chosen a lower score already.
    if (score === undefined || score <= ours) return;
    this.entries.set(pid, { nfId, pid, startTicks: ticks, score, ours });
    try {
      this.save();
    } catch (thrown) {
      this.entries.delete(pid);
      throw thrown;
    }
    try {
      if (startTicks(pid) === ticks) writeScore(pid, ours);
    } catch (thrown) {
      this.entries.delete(pid);
      ifItCan(() => this.save());
      this.refused = ['EACCES', 'EPERM', 'EROFS'].includes((thrown as NodeJS.ErrnoException).code ?? '');
    }
  }

  release(nfId: string): void {
    let changed = false;
    for (const entry of this.entries.values()) {
      if (entry.nfId !== nfId) continue;
      restore(entry);
      this.entries.delete(entry.pid);
      changed = true;
    }
    if (changed) ifItCan(() => this.save());
  }

  releaseAll(): void {
    for (const { nfId } of [...this.entries.values()]) this.release(nfId);
  }

  /** Atomic. Without entries there is no file. */
  private save(): void {
    if (this.entries.size === 0) {
      rmSync(this.path, { force: true });
      return;
    }
    const lines = [...this.entries.values()].map(
      ({ pid, startTicks, ours, score }) => `${pid} ${startTicks} ${ours} ${score}`,
    );
    mkdirSync(dirname(this.path), { recursive: true });
    writeFileSync(`${this.path}.new`, `agent ${process.pid}\n${lines.join('\n')}\n`, { mode: 0o600 });
    renameSync(`${this.path}.new`, this.path);
  }
}

function readEntries(path: string): Entry[] {
  return textIfThere(path)
    .split('\n')
    .flatMap((line) => {
      const parts = LINE.exec(line);
      if (parts === null) return [];
      const [pid, startTicks, ours, score] = parts.slice(1).map(Number) as [number, number, number, number];
      return [{ pid, startTicks, ours, score }];
    });
}

/** Of the process, if it is still the one, and of its children that inherited ours. */
function restore({ pid, startTicks: ticks, score, ours }: Entry): void {
  if (startTicks(pid) !== ticks) return;
  const children = listPids().filter((one) => processStat(one)?.parentPid === pid);
  for (const one of [pid, ...children]) {
    try {
      if (readScore(one) === ours) writeScore(one, score);
    } catch {
      // It has just ended.
    }
  }
}

function readScore(pid: number): number | undefined {
  const text = readIfThere(`/proc/${pid}/oom_score_adj`);
  return text === undefined ? undefined : Number(text);
}

function writeScore(pid: number, score: number): void {
  writeFileSync(`/proc/${pid}/oom_score_adj`, String(score));
}
