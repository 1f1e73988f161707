/**
 * One WebAssembly function that is ready. It has a cgroup of its own and, while it runs, a thread in it; when it runs
 * nothing, another sandbox of its group may take that thread. It then keeps its instance there, and takes one again
 * with its next call; where that thread runs another's call, a module of `_start` goes to any other thread, and one
 * whose instance stays waits a little before it begins anew.
 */

import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { CallRequest } from '../../model/call.js';
import { asNemoError, NemoError } from '../../model/errors.js';
import { Deferred, removeGroup, startError } from '../../sandbox/ends.js';
import type { LoadOptions, SandboxExit, SandboxReply, StartOptions } from '../../sandbox/engine.js';
import { settleAll } from '../../sandbox/guarded.js';
import { SandboxLifecycle } from '../../sandbox/lifecycle.js';
import type { Valve } from '../../streams/valve.js';
import { POOL, WASM } from '../../tunables/index.js';
import type { Startable } from '../isolate/engine.js';
import type { IsolateHost } from '../isolate/host.js';
import { readCode } from '../isolate/sandbox.js';
import { threadEndWords, threadExit } from '../isolate/thread-end.js';
import { ThreadLogs } from '../isolate/thread-logs.js';
import type { PoolThread, PoolThreadEnd, ThreadOccupant } from './pool-thread.js';
import type { ThreadPool, ThreadPoolMember } from './thread-pool.js';

interface Waiting {
  call: CallRequest;
  deadlineMs: number;
  reply: SandboxReply;
}

export class WasmSandbox extends SandboxLifecycle implements Startable, ThreadOccupant, ThreadPoolMember {
  readonly engine = 'wasm';
  readonly exited: Promise<SandboxExit>;
  heldBytes = 0;
  private readonly number: number;
  private readonly logs: ThreadLogs;
  private readonly gone = new Deferred<SandboxExit>();
  /** The thread that has its function. */
  private thread: PoolThread | undefined;
  private options: LoadOptions | undefined;
  private resuming: Promise<void> | undefined;
  private keepsInstance = false;
  private readonly waiting: Waiting[] = [];
  private memoryBytes: number = POOL.memoryMaxDefaultBytes;
  /** Something of it ran on its thread when it ended. */
  private ran = false;
  /** Its end is under way. */
  private dying = false;

  constructor(
    options: StartOptions,
    private readonly host: IsolateHost,
    private readonly threads: ThreadPool,
  ) {
    super(options);
    this.logs = new ThreadLogs(options, this);
    this.exited = this.watch();
    this.number = threads.enter(this);
    host.reserve(1, this.memoryBytes);
  }

  get pid(): number {
    return this.host.processId;
  }

  get inFlight(): number {
    return this.waiting.length + (this.occupies ? this.thread!.channel.inFlight : 0);
  }

  get idle(): boolean {
    return !this.ended && this.resuming === undefined && this.inFlight === 0;
  }

  private get occupies(): boolean {
    return this.thread?.occupant === this;
  }

  async start(): Promise<void> {
    try {
      await this.threads.prepare();
      if (this.ended) throw startError(this.id, 'it was ended');
      // Without one it shares: it gets a thread with its function.
      const thread = this.threads.free();
      if (thread !== undefined && thread.occupant === undefined) this.occupy(thread);
    } catch (error) {
      await this.kill();
      if (error instanceof NemoError) throw error;
      throw startError(this.id, (error as Error).message);
    }
  }

  load(options: LoadOptions): Promise<void> {
    return this.loadBy(options, async () => {
      this.options = options;
      if (options.memoryBytes !== this.memoryBytes) {
        this.host.reserve(0, options.memoryBytes - this.memoryBytes);
        this.memoryBytes = options.memoryBytes;
      }
      await this.resume();
    });
  }

  invoke(call: CallRequest, deadlineMs: number, reply: SandboxReply): void {
    if (this.ended) {
      this.refuse(reply);
      return;
    }
    if (this.occupies && this.resuming === undefined) {
      const { thread } = this;
      this.threads.touch(thread!);
      thread!.channel.call(call, deadlineMs - performance.now(), reply);
      return;
    }
    this.waiting.push({ call, deadlineMs, reply });
    this.resume().catch((thrown: unknown) => {
      const what = `could not go on: ${asNemoError(thrown).message}`;
      void this.kill(this.ended ? undefined : this.endError(what, false));
    });
  }

  /** Gets a thread, with its function ready there, and gives it the calls that wait. */
  private resume(): Promise<void> {
    this.resuming ??= (async () => {
      try {
        const thread = await this.takeThread();
        if (thread.residents.has(this.number)) thread.channel.select(this.options!, this.number);
        else await this.install(thread);
        for (const { call, deadlineMs, reply } of this.waiting.splice(0)) {
          thread.channel.call(call, deadlineMs - performance.now(), reply);
        }
      } finally {
        this.resuming = undefined;
      }
    })();
    return this.resuming;
  }

  private async takeThread(): Promise<PoolThread> {
    const home = this.thread;
    if (home !== undefined) {
      const untilMs = performance.now() + WASM.homeWaitMs;
      while (this.keepsInstance && !home.ended && !home.free && performance.now() < untilMs) {
        await pause(WASM.homeLookMs);
      }
      if (home.free || this.occupies) return this.occupy(home);
      home.forget(this.number, this);
    }
    for (let thread = this.threads.free(); ; thread = this.threads.free()) {
      if (thread !== undefined) return this.occupy(thread);
      await this.threads.add();
    }
  }

  private occupy(thread: PoolThread): PoolThread {
    // Its group may be gone.
    if (this.ended) throw this.endError('was ended', false);
    thread.admit(this);
    this.threads.touch(thread);
    this.thread = thread;
    return thread;
  }

  /** Loads the function into the thread that it occupies: by name, if a thread of the process has compiled it. */
  private async install(thread: PoolThread): Promise<void> {
    await this.loaded(this.options!, async () => {
      if (this.threads.compiled.has(this.path))
        thread.channel.load(this.options!, this.path, undefined, this.number);
      else await this.sendCode(thread);
    });
    thread.residents.add(this.number);
    this.threads.compiled.add(this.path);
  }

  /** What the module is known by in its process. A file's content never changes, but its memory is compiled in. */
  private get path(): string {
    return `${basename(this.options!.bundlePath)}:${this.memoryBytes}`;
  }

  private async sendCode(thread: PoolThread): Promise<void> {
    const code = await readCode(this.options!.bundlePath);
    thread.channel.load(this.options!, this.path, code, this.number);
  }

  callersLeft(): void {
    if (this.occupies) this.thread?.channel.callersLeft();
  }

  protected endCalls(errorFor: (started: boolean) => NemoError): void {
    const channel = this.occupies ? this.thread!.channel : undefined;
    this.ran = channel !== undefined && (this.loading !== undefined || channel.inFlight > 0);
    const late = errorFor(false);
    settleAll(this.waiting.splice(0), ({ reply }) => reply.onError(late));
    channel?.endAll(errorFor);
  }

  protected strike(): void {
    if (this.dying) return;
    this.dying = true;
    if (this.ran) {
      this.thread!.end();
      return;
    }
    this.thread?.forget(this.number, this);
    this.gone.resolve({ cause: 'killed', exitCode: null, signal: null, stderrTail: this.logs.tail });
  }

  protected wordsFor(exit: SandboxExit): string {
    return threadEndWords(exit);
  }

  override onLoaded(keepsInstance = false): void {
    this.keepsInstance = keepsInstance;
    super.onLoaded();
  }

  onWanted(): void {
    const { thread, loading } = this;
    if (thread !== undefined && loading !== undefined) this.sendCode(thread).catch(loading.reject);
  }

  onMemory(kib: number): void {
    this.heldBytes = kib * 1024;
  }

  onLog(stream: number, text: Buffer, valve: Valve): void {
    this.logs.write(stream, text, valve);
  }

  /** While it runs nothing, it just needs another thread with its next call. */
  onThreadEnded(end: PoolThreadEnd): void {
    const busy = this.loading !== undefined || this.thread!.channel.inFlight > 0;
    if (this.ended || busy) this.over(end);
    else this.thread = undefined;
  }

  onProcessEnded(end: PoolThreadEnd): void {
    this.over(end);
  }

  private over(end: PoolThreadEnd): void {
    const exit = threadExit(end, this.ended, this.logs.tail);
    this.violation ||= end.violation;
    this.dying = true;
    this.gone.resolve(exit);
    this.endedBy(exit);
  }

  private async watch(): Promise<SandboxExit> {
    const exit = await this.gone.promise;
    this.logs.end();
    await removeGroup(this.cgroup, this.id);
    this.threads.leave(this);
    this.host.reserve(-1, -this.memoryBytes);
    return exit;
  }
}
