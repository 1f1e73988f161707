/**
 * Which threads of a cgroup want to run, in turn. Files stay open, so that a look costs a few microseconds a thread;
 * the list of threads is read again when none of the known ones wants to run, and now and then.
 */

import { readFileSync } from 'node:fs';
import { KeptFile } from './kept-file.js';

const RUNNING = 0x52;
/** Looks between two readings of the list. */
const LOOKS = 16;

export class RunnableThreads {
  /** The thread chosen last; 0 once it is gone. */
  last = 0;
  private readonly threads = new Map<number, KeptFile>();
  private looks = 0;
  private turn = 0;

  /** `path`: v1 `tasks` or v2 `cgroup.threads`. */
  constructor(readonly path: string) {}

  /** 0 if none wants to run. */
  next(): number {
    if (++this.looks % LOOKS === 0 || this.threads.size === 0) this.list();
    const found = this.sample();
    if (found !== 0) return found;
    this.list();
    return this.sample();
  }

  private sample(): number {
    const tids = [...this.threads.keys()];
    this.turn++;
    for (let i = 0; i < tids.length; i++) {
      const tid = tids[(this.turn + i) % tids.length]!;
      if (isRunnable(this.threads.get(tid)!)) {
        this.last = tid;
        return tid;
      }
    }
    return 0;
  }

  private list(): void {
    let tids: number[] = [];
    try {
      tids = readFileSync(this.path, 'latin1').split('\n').filter(Boolean).map(Number);
    } catch {
      // The group is gone: so are its threads.
    }
    for (const [tid, file] of this.threads) {
      if (tids.includes(tid) && !file.gone) continue;
      file.close();
      this.threads.delete(tid);
      if (this.last === tid) this.last = 0;
    }
    for (const tid of tids) {
      if (!this.threads.has(tid)) this.threads.set(tid, new KeptFile(`/proc/${tid}/status`, 'r', 128));
    }
  }

  close(): void {
    for (const file of this.threads.values()) file.close();
    this.threads.clear();
  }
}

/**
 * "Name:", "Umask:", "State:\tR (running)", ... Not `stat`: reading that waits for a thread that is in the middle of
 * an exec, and such a thread waits for the core that the reader is to lend it.
 */
function isRunnable(status: KeptFile): boolean {
  return (
    status.read() > 0 && status.nextLine() && status.nextLine() && status.bytes[status.at + 7] === RUNNING
  );
}
