/** Who uses a core: the thread that had most CPU time there in a short while. For a message, so it may be a moment late. */

import { setTimeout as delay } from 'node:timers/promises';
import { textIfThere } from './if-there.js';
import { listPids, listThreads, processName } from './process.js';

export interface BusiestThread {
  pid: number;
  tid: number;
  /** Of its process. */
  name: string;
}

/** Undefined: no thread stands out; interrupts and the kernel's own work have none. */
export async function busiestOn(core: number, forMs = 100): Promise<BusiestThread | undefined> {
  const before = new Map<number, number>();
  for (const { tid, pid } of threadsOn(core)) before.set(tid, runNs(pid, tid));
  await delay(forMs);
  let best: { pid: number; tid: number; usedNs: number } | undefined;
  for (const { pid, tid } of threadsOn(core)) {
    const from = before.get(tid);
    if (from === undefined) continue;
    const usedNs = runNs(pid, tid) - from;
    if (usedNs > (best?.usedNs ?? forMs * 1e5)) best = { pid, tid, usedNs };
  }
  if (best === undefined) return undefined;
  return { pid: best.pid, tid: best.tid, name: processName(best.pid) ?? `process ${best.pid}` };
}

function* threadsOn(core: number): Iterable<{ pid: number; tid: number }> {
  for (const pid of listPids()) {
    for (const { tid } of listThreads(pid)) {
      const stat = textIfThere(`/proc/${pid}/task/${tid}/stat`);
      // After the name, which may hold anything: the 37th field from there is the core on which it last ran.
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
      if (Number(fields[36]) === core) yield { pid, tid };
    }
  }
}

function runNs(pid: number, tid: number): number {
  return Number(textIfThere(`/proc/${pid}/task/${tid}/schedstat`).split(' ')[0]);
}
