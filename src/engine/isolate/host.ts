/**
 * One process whose worker threads are the sandboxes of one function, or of one sharing group. Its main thread runs no function and stays on the
 * housekeeping cores; each worker thread is put into the cgroup of its sandbox before it is given code. Memory is
 * the process's: its group may hold what its sandboxes may, together.
 */

import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, mkdirSync, rmSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { join } from 'node:path';
import { FUNCTION_DIRECTORY, launchRunner } from '../../confinement/launch.js';
import { makeOpenDirectory, type Runtime } from '../../confinement/runtime.js';
import type { SetApart } from '../../confinement/start-apart.js';
import type { Cgroup, CgroupDriver } from '../../linux/cgroup/driver.js';
import type { ChildProcess } from '../../linux/spawn.js';
import { processGroupThreads, threadInside, threadsOf } from '../../linux/threads.js';
import type { NemoError } from '../../model/errors.js';
import type { FunctionScheduling } from '../../policy/harvest/policies.js';
import { type FromHost, SHARES_MODULES, type ToHost } from '../../runner/isolate/to-host.js';
import { Channel, type ChannelEvents } from '../../sandbox/channel.js';
import { readControlLines } from '../../sandbox/control-lines.js';
import { Deferred, removeGroup, startError } from '../../sandbox/ends.js';
import { type Endings, tellAll } from '../../sandbox/guarded.js';
import { type LogLines, readLog } from '../../sandbox/log-lines.js';
import { CONTROL_LINE, ISOLATE, SANDBOX } from '../../tunables/index.js';
import { permissionFlags } from './runtime.js';
import { type Connected, NOBODY, type ThreadOwner } from './thread-owner.js';

const SOCKET_NAME = 'agent.sock';

export interface HostOptions {
  name: string;
  driver: CgroupDriver;
  /** Cores of sandboxes; and those on which the main thread stays. */
  cores: readonly number[];
  housekeepingCores: readonly number[];
  directory: string;
  uid: number;
  runtime: Runtime;
  /** Path inside of what its threads run. */
  program: string;
  /** What a thread compiled is given to the others. */
  sharesModules: boolean;
  scheduling: FunctionScheduling;
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
}

interface Thread {
  owner: ThreadOwner;
  token: string;
  /** Those of the process before it was asked for: none of them can be it. */
  before: ReadonlySet<number>;
  /** Its number on the host, once it is known. */
  tid: number;
  connected: Deferred<Connected>;
}

export class IsolateHost {
  readonly group: Cgroup;
  private readonly mainGroup: Cgroup;
  private readonly child: ChildProcess;
  private readonly control: Socket;
  private readonly server: Server;
  private readonly stderr: LogLines;
  private readonly threads = new Map<string, Thread>();
  private readonly unclaimed = new Set<Socket>();
  private strayConnections = 0;
  private readonly up = new Deferred();
  private readonly oomKillsBefore: number;
  private pid = 0;
  private counter = 0;
  private ended = false;
  private ending = false;
  private holders = 0;
  private heldBytes = 0;
  private limitBytes = 0;
  private readonly removed: Promise<void>;
  /** Resolves when nothing is left of the process. */
  readonly exited: Promise<void>;

  constructor(private readonly options: HostOptions) {
    const { name, driver, cores, housekeepingCores, directory, uid, runtime, scheduling, program } = options;
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
    const path = join(directory, SOCKET_NAME);
    // On a full disk there is no socket, which is seen below.
    this.server = createServer((socket) => this.welcome(socket)).on('error', () => {});
    const { joinPaths } = this.group;
    const launch = {
      uid,
      joinPaths,
      scheduling,
      directory,
      runtime,
      openFiles: ISOLATE.openFilesMax,
      setApart: options.setApart,
    };
    const shares = options.sharesModules ? [SHARES_MODULES] : [];
    try {
      this.server.listen(path);
      chownSync(path, uid, uid);
      chmodSync(path, 0o600);
      this.child = launchRunner(
        launch,
        [...ISOLATE.nodeFlags, ...permissionFlags()],
        [program, `${FUNCTION_DIRECTORY}/${SOCKET_NAME}`, ...shares],
      );
    } catch (thrown) {
      this.server.close();
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
    const id = `t${++this.counter}`;
    const token = randomBytes(16).toString('hex');
    const thread: Thread = { owner, token, before: new Set(), tid: 0, connected: new Deferred() };
    this.threads.set(id, thread);
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
    for (const id of this.threads.keys()) this.end(id);
    this.endUnused();
  }

  /** Puts a thread where no function's group counts or holds it. */
  park(tid: number): void {
    this.mainGroup.adoptThread(tid);
  }

  /** Helper threads of the process, which do what its one sandbox asks for, are counted and held with it from now on. */
  lendHelpers(sandbox: Cgroup): void {
    const others = new Set([this.pid, ...[...this.threads.values()].map(({ tid }) => tid)]);
    for (const tid of threadsOf(this.pid)) {
      if (others.has(tid)) continue;
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
    for (const { owner } of this.threads.values()) owner.release();
    await this.group.kill().catch(() => this.child.kill('SIGKILL'));
    await this.exited;
  }

  /** What its threads may hold, together. */
  fit(): void {
    let bytes: number = ISOLATE.hostBytes + this.heldBytes;
    for (const { owner } of this.threads.values()) bytes += ISOLATE.stemBytes + owner.memoryBytes;
    bytes = Math.min(bytes, this.options.driver.sharedMemoryMaxBytes);
    try {
      // V8 may not yet have given back what ended threads and instances held: a limit below that is refused on v1, and
      // on v2 ends the process. The next one that comes or goes tries again.
      if (bytes < this.limitBytes)
        bytes = Math.max(bytes, this.group.usage().memoryBytes + ISOLATE.stemBytes);
      this.group.setMemoryMax(bytes);
      this.limitBytes = bytes;
    } catch (thrown) {
      if ((thrown as NemoError).details?.errno !== 'EBUSY') throw thrown;
    }
    this.group.setPidsMax(ISOLATE.hostThreads + 2 * this.threads.size);
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
    if (message === undefined || !this.threads.has(message.id)) return false;
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
    const thread = this.threads.get(id);
    if (thread === undefined) return;
    this.threads.delete(id);
    thread.connected.reject(this.error('its thread ended'));
    thread.owner.onThreadEnded({ oom, code, host, stderrTail: host ? this.stderr.tail : '' });
    if (this.ended) return;
    this.fit();
    // Nobody uses it: the next sandbox of its group gets another.
    this.endUnused();
  }

  /** Threads that have not said yet that they are there. */
  private get awaited(): number {
    let count = 0;
    for (const { token } of this.threads.values()) if (token !== '') count++;
    return count;
  }

  /** Nobody waits for it, or not any more: whoever took the process over may connect faster than the agent has time for. */
  private turnAway(socket: Socket): void {
    socket.destroy();
    if (++this.strayConnections !== ISOLATE.strayConnectionsMax) return;
    this.server.close();
    void this.kill();
  }

  /** A thread connects; its first frame has to say which one it is. */
  private welcome(socket: Socket): void {
    if (this.unclaimed.size >= this.awaited) {
      this.turnAway(socket);
      return;
    }
    this.unclaimed.add(socket);
    const leave = (): boolean => this.unclaimed.delete(socket);
    const timer = setTimeout(() => leave() && socket.destroy(), ISOLATE.unclaimedMs);
    socket.once('close', leave);
    const nobody = (): void => void socket.destroy();
    const events: ChannelEvents = {
      onReady: ({ token, thread: inside }) => {
        clearTimeout(timer);
        leave();
        const thread = [...this.threads.values()].find((one) => one.token === token);
        if (thread === undefined) return nobody();
        // A token is good for one connection.
        thread.token = '';
        // One that ended while it connected counts as none.
        this.strayConnections = 0;
        const tid = typeof inside === 'number' ? threadInside(this.pid, inside) : undefined;
        if (tid === undefined || !this.isNew(tid, thread)) {
          thread.connected.reject(this.error('it named a thread that is not its own'));
          return nobody();
        }
        thread.tid = tid;
        events.onReady = () => {};
        const { owner } = thread;
        events.onLoaded = (kind) => owner.onLoaded(kind);
        events.onLoadFailed = (error) => owner.onLoadFailed(error);
        events.onLog = (stream, text) => owner.onLog?.(stream, text, channel.valve);
        events.onMemory = (kib) => owner.onMemory?.(kib);
        events.onWanted = () => owner.onWanted?.();
        events.onViolation = (reason) => owner.onViolation(reason);
        events.onFault = (error) => owner.onFault(error);
        thread.connected.resolve({ channel, socket, tid });
      },
      onLoaded: nobody,
      onLoadFailed: nobody,
      onViolation: nobody,
      onFault: nobody,
    };
    const channel = new Channel(socket, events);
  }

  /** What a process says of its threads is the word of whoever has taken it over. */
  private isNew(tid: number, { before }: Thread): boolean {
    return !before.has(tid) && ![...this.threads.values()].some((other) => other.tid === tid);
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
    const owners = [...this.threads.values()].map(({ owner }) => owner);
    tellAll([...this.threads.keys()], (id) => this.threadEnded(id, oom, 1, true));
    // Their groups may lie within those of this process.
    await Promise.all(owners.map(({ exited }) => exited));
    for (const socket of this.unclaimed) socket.destroy();
    this.server.close();
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
