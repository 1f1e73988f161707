/**
 * One sandbox that is a worker thread. Its cgroup holds that thread and nothing else, so it is pinned, throttled,
 * frozen and accounted like a process; only its memory is counted by V8 and by its process. It never outlives a
 * kill: a thread that does not end in time takes its process with it.
 */

import { readFileSync, statSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { withoutMap } from '../../bundle/source-names.js';
import { setScheduling } from '../../linux/sched.js';
import type { CallRequest } from '../../model/call.js';
import { NemoError } from '../../model/errors.js';
import type { Channel } from '../../sandbox/channel.js';
import { Deferred, removeGroup, startError } from '../../sandbox/ends.js';
import type { LoadOptions, Sandbox, SandboxExit, SandboxReply, StartOptions } from '../../sandbox/engine.js';
import { SandboxLifecycle } from '../../sandbox/lifecycle.js';
import type { Valve } from '../../streams/valve.js';
import { ISOLATE, POOL, SANDBOX } from '../../tunables/index.js';
import type { IsolateHost } from './host.js';
import { type ThreadEnd, threadEndWords, threadExit } from './thread-end.js';
import { ThreadLogs } from './thread-logs.js';
import type { Connected, ThreadOwner } from './thread-owner.js';

export class IsolateSandbox extends SandboxLifecycle implements Sandbox, ThreadOwner {
  readonly exited: Promise<SandboxExit>;
  memoryBytes: number = POOL.memoryMaxDefaultBytes;
  /** What it holds, as its runner says. */
  heldBytes = 0;
  private threadId = '';
  private channel: Channel | undefined;
  private socket: Socket | undefined;
  private readonly logs: ThreadLogs;
  private called = false;
  private dying = false;
  private readonly threadGone = new Deferred<SandboxExit>();

  constructor(
    readonly engine: string,
    private readonly options: StartOptions,
    private readonly host: IsolateHost,
    private readonly rehearsal: Buffer,
  ) {
    super(options);
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

  load(options: LoadOptions): Promise<void> {
    return this.loadBy(options, () =>
      this.loaded(options, async () => {
        const code = withoutMap(await readCode(options.bundlePath));
        if (options.memoryBytes !== this.memoryBytes) await this.replaceThread(options.memoryBytes);
        this.channel!.load(options, '', code);
      }),
    );
  }

  /** The heap limit of a thread is fixed when it starts: another limit takes another thread. */
  private async replaceThread(memoryBytes: number): Promise<void> {
    this.memoryBytes = memoryBytes;
    const old = this.threadId;
    this.socket?.removeAllListeners('close');
    this.host.orphan(old);
    await this.takeThread();
  }

  invoke(call: CallRequest, deadlineMs: number, reply: SandboxReply): void {
    if (this.ended || this.exit !== undefined || this.channel === undefined) {
      this.refuse(reply);
      return;
    }
    this.called = true;
    this.channel.call(call, deadlineMs - performance.now(), reply);
  }

  callersLeft(): void {
    this.channel?.callersLeft();
  }

  protected endCalls(errorFor: (started: boolean) => NemoError): void {
    this.channel?.endAll(errorFor);
  }

  protected wordsFor(exit: SandboxExit): string {
    return threadEndWords(exit);
  }

  onMemory(kib: number): void {
    this.heldBytes = kib * 1024;
  }

  onLog(stream: number, text: Buffer, valve: Valve): void {
    this.logs.write(stream, text, valve);
  }

  onThreadEnded(end: ThreadEnd): void {
    this.threadGone.resolve(threadExit(end, this.dying || this.ended, this.logs.tail));
  }

  protected strike(): void {
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
      const told = this.endedBy(exit);
      if (this.called && !told && !this.dying) this.logs.say(this.exitError(exit, true).message);
    }
    this.socket?.destroy();
    await removeGroup(this.cgroup, this.id);
    return exit;
  }
}

function lastWords(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, SANDBOX.lastWordsMs).unref());
}

/** Small files at once: their way through the thread pool would be most of a start. */
export async function readCode(path: string): Promise<Buffer> {
  return statSync(path).size <= ISOLATE.readAtOnceBytes ? readFileSync(path) : await readFile(path);
}
