/**
 * One process whose worker threads are the sandboxes of one function, or of one sharing group. Its main thread runs no
 * function and stays on the housekeeping cores; each worker thread is put into the cgroup of its sandbox before it is
 * given code. Memory is the process's: its group may hold what its sandboxes may, together.
 */

import { chownSync, mkdirSync, rmSync } from 'node:fs';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { makeOpenDirectory } from '../../confinement/runtime.js';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import type { ChildProcess } from '../../linux/spawn.js';
import { processGroupThreads, threadsOf } from '../../linux/threads.js';
import type { NemoError } from '../../model/errors.js';
import type { FromHost, ToHost } from '../../runner/isolate/to-host.js';
import { readControlLines } from '../../sandbox/control-lines.js';
import { Deferred, removeGroup, startError } from '../../sandbox/ends.js';
import { type Endings, settleAll } from '../../sandbox/guarded.js';
import { type LogLines, readLog } from '../../sandbox/log-lines.js';
import { CONTROL_LINE, ISOLATE, SANDBOX } from '../../tunables/index.js';
import { HostMemory } from './host-memory.js';
import { type HostThread, HostThreads } from './host-threads.js';
import { type HostOptions, launchHost, SOCKET_NAME } from './launch-host.js';
import { ThreadListener } from './thread-listener.js';
import { type Connected, NOBODY, type ThreadOwner } from './thread-owner.js';

export class IsolateHost {
  readonly group: Cgroup;
  private readonly mainGroup: Cgroup;
  private readonly child: ChildProcess;
  private readonly control: Socket;
  private readonly listener: ThreadListener | undefined;
  private readonly stderr: LogLines;
  private readonly threads = new HostThreads();
  private readonly memory: HostMemory;
  private readonly up = new Deferred();
  private readonly oomKillsBefore: number;
  private pid = 0;
  private ended = false;
  private ending = false;
  private holders = 0;
  private heldBytes = 0;
  private readonly removed: Promise<void>;
  /** Resolves when nothing is left of the process. */
  readonly exited: Promise<void>;

  constructor(private readonly options: HostOptions) {
    const { name, driver, cores, housekeepingCores, directory, uid } = options;
    mkdirSync(directory);
    makeOpenDirectory(directory, 0o750);
    chownSync(directory, 0, uid);
    this.group = driver.create(name, {
      memoryMaxBytes: ISOLATE.hostBytes,
      pidsMax: ISOLATE.hostThreads,
      cpus: [...new Set([...housekeepingCores, ...cores])],
    });
    this.mainGroup = driver.create(`${name}-main`, { cpus: housekeepingCores }, this.group);
    this.oomKillsBefore = this.group.oomKills();
    this.memory = new HostMemory(this.group, () => driver.sharedMemoryMaxBytes);
    try {
      this.listener = new ThreadListener(join(directory, SOCKET_NAME), uid, this.threads, {
        onThread: (thread, inside) => this.identify(thread, inside),
        onFlood: () => void this.kill(),
        onError: (error, listening) => this.socketFailed(error, listening),
      });
      this.child = launchHost(options, this.group.joinPaths);
    } catch (thrown) {
      this.listener?.close();
      rmSync(directory, { recursive: true, force: true });
      void this.removeGroups();
      throw thrown;
    }
    const end = (): void => void this.kill();
    const ends: Endings = { onViolation: end, onFault: end };
    this.stderr = readLog(this.child.stderr!, ends, () => {});
    readLog(this.child.stdout!, ends, () => {});
    this.control = this.child.stdio[3] as Socket;
    readControlLines(this.control, CONTROL_LINE.hostMaxBytes, ends, (told) => this.onMessage(told));
    this.exited = this.watch();
    this.removed = this.exited.then(() => this.removeGroups());
  }

  /** Process id of its outermost process. */
  get processId(): number {
    return this.child.pid ?? 0;
  }

  get threadCount(): number {
    return this.threads.size;
  }

  /** Starts a thread with a heap limit; resolves when it connected. Rejects with SANDBOX_START. */
  async spawn(owner: ThreadOwner): Promise<{ id: string; connected: Connected }> {
    const thread = this.threads.add(owner);
    const { id, token } = thread;
    try {
      this.fit();
      await this.up.within(SANDBOX.startTimeoutMs, () => this.error('no answer'));
      const heapMb = Math.ceil(owner.memoryBytes / 2 ** 20);
      const { stackMb, youngMb } = ISOLATE;
      thread.before = new Set(threadsOf(this.pid));
      this.send({ op: 'spawn', id, token, heapMb, stackMb, youngMb });
      const connected = await thread.connected.within(SANDBOX.startTimeoutMs, () => this.error('no thread'));
      return { id, connected };
    } catch (error) {
      this.end(id);
      throw error;
    }
  }

  /** More or fewer sandboxes are served by threads that come and go: with one the process stays, also without threads. */
  reserve(sandboxes: number, bytes: number): void {
    this.holders += sandboxes;
    this.heldBytes += bytes;
    if (this.ended || this.ending) return;
    if (this.holders > 0) {
      this.fit();
      return;
    }
    for (const { id } of this.threads.all) this.end(id);
    this.endUnused();
  }

  /** Puts a thread where no function's group counts or holds it. */
  park(tid: number): void {
    this.mainGroup.adoptThread(tid);
  }

  /** Helper threads of the process, which do what its one sandbox asks for, are counted and held with it from now on. */
  lendHelpers(sandbox: Cgroup): void {
    for (const tid of this.threads.helpersOf(this.pid)) {
      try {
        sandbox.adoptThread(tid);
      } catch (thrown) {
        // It may have ended in this moment, alone or with its process.
        if (threadsOf(this.pid).includes(tid)) throw thrown;
      }
    }
  }

  private endUnused(): void {
    if (this.threads.size === 0 && this.holders === 0) void this.kill();
  }

  /** Asks a thread to end; its owner is told when it has. */
  end(id: string): void {
    this.send({ op: 'end', id });
  }

  /** Ends a thread of which nobody wants to hear any more. */
  orphan(id: string): void {
    const thread = this.threads.get(id);
    if (thread !== undefined) thread.owner = NOBODY;
    this.end(id);
  }

  /** No thread may be added any more: it is ending. */
  get closing(): boolean {
    return this.ending;
  }

  /** Ends it with all of its threads. */
  async close(): Promise<void> {
    await this.kill();
    await this.removed;
  }

  /** The last resort: all of its threads end. */
  async kill(): Promise<void> {
    this.ending = true;
    // A frozen thread keeps its whole process from dying.
    for (const { owner } of this.threads.all) owner.release();
    // It may not be in its group yet.
    this.child.kill('SIGKILL');
    await this.group.kill().catch(() => undefined);
    await this.exited;
  }

  /** What its threads may hold, together. */
  fit(): void {
    this.memory.fit(
      this.threads.all.map(({ owner }) => owner.memoryBytes),
      this.heldBytes,
    );
  }

  private send(message: ToHost): void {
    if (!this.ended) this.control.write(`${JSON.stringify(message)}\n`);
  }

  /** False if it makes no sense. */
  private onMessage(told: Record<string, unknown>): boolean {
    const message = readMessage(told);
    if (message?.event === 'up') {
      if (this.pid !== 0) return false;
      this.ready();
      return true;
    }
    if (message === undefined || this.threads.get(message.id) === undefined) return false;
    this.threadEnded(message.id, message.oom, message.code);
    return true;
  }

  private ready(): void {
    try {
      // The monitor and the first process of the namespace have one thread each; node has several.
      const { pid, tids } = processGroupThreads(this.group);
      this.pid = pid;
      for (const tid of tids) this.mainGroup.adoptThread(tid);
      this.up.resolve();
    } catch (thrown) {
      this.up.reject(this.error((thrown as Error).message));
    }
  }

  private threadEnded(id: string, oom: boolean, code: number, host = false): void {
    const thread = this.threads.remove(id);
    if (thread === undefined) return;
    thread.connected.reject(this.error('its thread ended'));
    thread.owner.onThreadEnded({ oom, code, host, stderrTail: host ? this.stderr.tail : '' });
    if (this.ended) return;
    this.fit();
    // Nobody uses it: the next sandbox of its group gets another.
    this.endUnused();
  }

  private identify(thread: HostThread, inside: unknown): boolean {
    if (this.threads.identify(thread, this.pid, inside)) return true;
    thread.connected.reject(this.error('it named a thread that is not its own'));
    return false;
  }

  /** Threads that are connected do not need the socket; those that are not never will be. */
  private socketFailed(error: NemoError, listening: boolean): void {
    this.threads.rejectAwaited(error);
    if (listening) return;
    this.up.reject(error);
    void this.kill();
  }

  private async watch(): Promise<void> {
    await new Promise((resolve) => {
      this.child.once('exit', resolve);
      this.child.once('error', resolve);
    });
    const oom = this.outOfMemory();
    // Whatever of the process is left, if only its outermost part ended.
    this.ending = true;
    await this.group.kill().catch(() => {});
    this.ended = true;
    this.stderr.writerEnded();
    this.up.reject(this.error('its process ended'));
    const threads = this.threads.all;
    settleAll(threads, ({ id }) => this.threadEnded(id, oom, 1, true));
    // Their groups may lie within those of this process.
    await Promise.all(threads.map(({ owner }) => owner.exited));
    this.listener?.close();
    this.control.destroy();
    rmSync(this.options.directory, { recursive: true, force: true });
  }

  private async removeGroups(): Promise<void> {
    await this.mainGroup.remove().catch(() => {});
    await removeGroup(this.group, this.options.name);
  }

  private outOfMemory(): boolean {
    try {
      return this.group.oomKills() > this.oomKillsBefore;
    } catch {
      return false;
    }
  }

  private error(reason: string): NemoError {
    return startError(this.options.name, reason, this.stderr.tail);
  }
}

function readMessage({ event, id, oom, code }: Record<string, unknown>): FromHost | undefined {
  if (event === 'up') return { event };
  const ended =
    event === 'exit' && typeof id === 'string' && typeof oom === 'boolean' && typeof code === 'number';
  return ended ? { event, id, oom, code } : undefined;
}
