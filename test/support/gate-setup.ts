/**
 * A polling thread that owns a core, a SCHED_IDLE function beside it, and a process with a gate between them. What the
 * function used of the core is read from the kernel, so a host that steals time cannot make it look worse.
 */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { ThreadStat } from '../../src/linux/procfs.js';
import { setScheduling } from '../../src/linux/sched.js';
import { endProcess, spawnTied } from '../../src/linux/tied-process.js';
import { until } from './waiting.js';

const HOST = fileURLToPath(new URL('../control/gate-host.js', import.meta.url));
const SPIN = ['sh', '-c', 'while :; do :; done'];
export const CORE = 1;

export class GateSetup {
  private readonly folder = mkdtempSync(join(tmpdir(), 'nemo-gate-'));
  readonly nf: ChildProcess;
  readonly fn: ChildProcess;
  private stat: ThreadStat | undefined;
  host: ChildProcess | undefined;
  /** Lists the threads that the gate lends to. */
  tasksPath = join(this.folder, 'tasks');

  constructor(private readonly sloUs = 400) {
    const bound = ['-c', String(CORE), ...SPIN];
    this.nf = spawnTied('taskset', bound, { stdio: 'ignore' });
    this.fn = spawnTied('taskset', bound, { stdio: 'ignore' });
  }

  /** Both run; call once. */
  async ready(): Promise<void> {
    const threads = [this.nf.pid!, this.fn.pid!].map((pid) => new ThreadStat(pid, pid));
    await until(() => threads.every((thread) => thread.read() && thread.runNs > 30_000_000));
    for (const thread of threads) thread.close();
    setScheduling(this.fn.pid!, { policy: 'idle' });
    // Each runs in a session of its own, which the kernel may schedule as a group of normal weight (sched_autogroup).
    const autogroup = `/proc/${this.fn.pid}/autogroup`;
    if (existsSync(autogroup)) writeFileSync(autogroup, '19');
    this.stat = new ThreadStat(this.fn.pid!, this.fn.pid!);
    writeFileSync(this.tasksPath, `${this.fn.pid}\n`);
  }

  /** CPU time of the function, milliseconds. */
  usedMs(): number {
    this.stat!.read();
    return this.stat!.runNs / 1e6;
  }

  async startHost(): Promise<ChildProcess> {
    const args = [HOST, String(CORE), String(this.nf.pid), this.tasksPath, String(this.sloUs)];
    const host = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
    this.host = host;
    const [line] = (await once(createInterface({ input: host.stdout! }), 'line')) as [string];
    if (line !== 'open') throw new Error(line);
    return host;
  }

  /** Until the function got `ms` more of the core: the gate works. */
  async lent(ms: number): Promise<void> {
    const endMs = this.usedMs() + ms;
    await until(
      () => this.usedMs() >= endMs,
      () => `${ms} ms for the function`,
    );
  }

  async close(): Promise<void> {
    if (this.host !== undefined) await endProcess(this.host);
    await Promise.all([endProcess(this.nf), endProcess(this.fn)]);
    this.stat?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
