/**
 * One sandbox that is a worker thread. Its cgroup holds that thread and nothing else, so it is pinned, throttled,
 * frozen and accounted like a process; only its memory is counted by V8 and by its process. It never outlives a
 * kill: a thread that does not end in time takes its process with it.
 */

import { readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { withoutMap } from '../../bundle/source-names.js';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import { setScheduling } from '../../linux/sched.js';
import { NemoError } from '../../model/errors.js';
import type { CallRequest } from '../../model/function.js';
import type { Channel } from '../../sandbox/channel.js';
import { Deferred, endCalls, endError, removeGroup, startError } from '../../sandbox/ends.js';
import type { LoadOptions, Sandbox, SandboxExit, SandboxReply, StartOptions } from '../../sandbox/engine.js';
import type { Valve } from '../../streams/valve.js';
import { ISOLATE, POOL, SANDBOX } from '../../tunables/index.js';
import type { IsolateHost } from './host.js';
import { type ThreadEnd, threadExit, threadExitError } from './thread-end.js';
import { ThreadLogs } from './thread-logs.js';
import type { Connected, ThreadOwner } from './thread-owner.js';

export class IsolateSandbox implements Sandbox, ThreadOwner {
  readonly id: string;
  readonly cgroup: Cgroup;
  readonly exited: Promise<SandboxExit>;
  memoryBytes: number = POOL.memoryMaxDefaultBytes;
  /** What it holds, as its runner says. */
  heldBytes = 0;
  private threadId = '';
  private channel: Channel | undefined;
  private socket: Socket | undefined;
  private loading: Deferred | undefined;
  private readonly logs: ThreadLogs;
  private functionName = '';
  private called = false;
  private ended = false;
  private killReason: NemoError | undefined;
  private exit: SandboxExit | undefined;
  private violation = '';
  private dying = false;
  private readonly threadGone = new Deferred<SandboxExit>();

  constructor(
    readonly engine: string,
    private readonly options: StartOptions,
    private readonly host: IsolateHost,
    private readonly rehearsal: Buffer,
  ) {
    this.id = options.id;
    this.cgroup = options.cgroup;
    this.logs = new ThreadLogs(options, this);
    this.exited = this.watch();
  }

  get pid(): number {
    return this.host.processId;
  }

  get inFlight(): number {
    return this.channel?.inFlight ?? 0;
  }

  /** Resolves when its thread is there and in its group. Rejects with SANDBOX_START after it is gone. */
  async start(): Promise<void> {
    try {
      await this.takeThread();
    } catch (error) {
      await this.kill();
      if (error instanceof NemoError) throw error;
      throw startError(this.id, (error as Error).message);
    }
  }

  private async takeThread(): Promise<void> {
    const { id, connected } = await this.host.spawn(this);
    this.threadId = id;
    const { channel, socket, tid }: Connected = connected;
    if (this.ended) throw startError(this.id, 'it was ended');
    this.cgroup.adoptThread(tid);
    if (this.options.scheduling === 'idle') setScheduling(tid, { policy: 'idle' });
    this.channel = channel;
    this.socket = socket;
    // If its thread ends meanwhile, so does this sandbox, and nothing waits any more.
    await Promise.race([channel.rehearse('', this.rehearsal), this.exited]);
    if (this.exit !== undefined) throw startError(this.id, 'its thread ended', this.exit.stderrTail);
  }

  async load(options: LoadOptions): Promise<void> {
    if (this.loading !== undefined) throw new NemoError('INTERNAL', `${this.id} already has a function`);
    const loading = new Deferred();
    this.loading = loading;
    this.functionName = options.functionName;
    try {
      if (this.ended) throw endError(this.id, this.functionName, 'ended before the code was loaded', true);
      const code = withoutMap(await readCode(options.bundlePath));
      if (options.memoryBytes !== this.memoryBytes) await this.replaceThread(options.memoryBytes);
      this.channel!.load(options, '', code);
      const timeoutMs = Math.max(options.timeoutMs, SANDBOX.loadTimeoutMs);
      await loading.within(
        timeoutMs,
        () =>
          new NemoError('FUNCTION_LOAD', `${options.functionName} was not loaded within ${timeoutMs} ms`, {
            hint: 'do less at the top level of the module',
          }),
      );
    } catch (error) {
      // Half loaded code must never be called.
      await this.kill();
      if (error instanceof NemoError) throw error;
      const { message } = error as Error;
      throw new NemoError('FUNCTION_LOAD', `${options.functionName} cannot be read: ${message}`, {
        cause: error,
      });
    }
  }

  /** The heap limit of a thread is fixed when it starts: another limit takes another thread. */
  private async replaceThread(memoryBytes: number): Promise<void> {
    this.memoryBytes = memoryBytes;
    const old = this.threadId;
    this.socket?.removeAllListeners('close');
    this.host.disown(old);
    await this.takeThread();
  }

  invoke(call: CallRequest, deadlineMs: number, reply: SandboxReply): void {
    if (this.ended || this.exit !== undefined || this.channel === undefined) {
      const { exit } = this;
      const late =
        exit === undefined
          ? endError(this.id, this.functionName, 'had already ended', false)
          : this.errorOf(exit, false);
      reply.onError(this.killReason ?? late);
      return;
    }
    this.called = true;
    this.channel.call(call, deadlineMs - performance.now(), reply);
  }

  callersLeft(): void {
    this.channel?.callersLeft();
  }

  async kill(reason?: NemoError): Promise<void> {
    if (!this.ended) {
      this.ended = true;
      this.killReason = reason;
      const error = (what: string, started: boolean) =>
        reason ?? endError(this.id, this.functionName, what, started);
      this.channel?.endAll((started) => error('was ended', started));
      this.loading?.reject(error('was ended while its code was being loaded', true));
    }
    this.strike();
    await this.exited;
  }

  onLoaded(): void {
    this.loading?.resolve();
  }

  onLoadFailed(error: NemoError): void {
    this.loading?.reject(error);
  }

  onMemory(kib: number): void {
    this.heldBytes = kib * 1024;
  }

  onLog(stream: number, text: Buffer, valve: Valve): void {
    this.logs.write(stream, text, valve);
  }

  onViolation(reason: string): void {
    if (this.violation === '') this.violation = reason;
    this.strike();
  }

  onFault(error: NemoError): void {
    if (this.ended) return;
    void this.kill(error);
    // Later calls go elsewhere.
    this.killReason = undefined;
  }

  onThreadEnded(end: ThreadEnd): void {
    this.threadGone.resolve(threadExit(end, this.dying || this.ended, this.logs.tail));
  }

  private strike(): void {
    if (this.dying) return;
    this.dying = true;
    const giveUpMs = performance.now() + ISOLATE.endPatienceMs;
    this.host.end(this.threadId);
    const look = (): void => {
      this.release();
      if (performance.now() > giveUpMs) void this.host.kill();
    };
    const timer = setInterval(look, ISOLATE.releasePeriodMs);
    void this.threadGone.promise.then(() => clearInterval(timer));
    look();
  }

  /** Frozen or without time, it could not even end. */
  release(): void {
    try {
      this.cgroup.release();
    } catch {
      // The group is gone.
    }
  }

  private async watch(): Promise<SandboxExit> {
    const exit = await this.threadGone.promise;
    this.exit = exit;
    // What its thread had still sent, and whether it left something unread, comes with the end of its socket.
    const { socket } = this;
    if (!this.ended && socket !== undefined && !socket.closed)
      await Promise.race([new Promise((closed) => socket.once('close', closed)), lastWords()]);
    this.logs.end();
    if (!this.ended) {
      this.ended = true;

      const told = this.channel && endCalls(this.channel, (started) => this.errorOf(exit, started));
      if (this.called && told === false && !this.dying) this.logs.say(this.errorOf(exit, true).message);
      this.loading?.reject(this.errorOf(exit, true, 'FUNCTION_LOAD'));
    }
    this.socket?.destroy();
    await removeGroup(this.cgroup, this.id);
    return exit;
  }

  private errorOf(exit: SandboxExit, started: boolean, otherwise?: 'FUNCTION_LOAD'): NemoError {
    const { id, functionName, violation } = this;
    return threadExitError({ id, functionName, violation }, exit, started, otherwise);
  }
}

function lastWords(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SANDBOX.lastWordsMs).unref());
}

/** Small files at once: their way through the thread pool would be most of a start. */
export async function readCode(path: string): Promise<Buffer> {
  return statSync(path).size <= ISOLATE.readAtOnceBytes ? readFileSync(path) : await readFile(path);
}
