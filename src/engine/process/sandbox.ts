/**
 * One sandbox of the process engine, from its first process to its last trace. There is one way out for all ends
 * (kill, exit, crash, out of memory): the first process is gone, then the cgroup and the directory are removed,
 * then `exited` resolves. Calls in flight are failed as soon as it is known that no answer can come.
 */

import type { EventEmitter } from 'node:events';
import { chmod, chown, copyFile, rm, writeFile } from 'node:fs/promises';
import type { Socket } from 'node:net';
import { constants } from 'node:os';
import { join } from 'node:path';
import { FUNCTION_DIRECTORY, HOSTS_NAME } from '../../confinement/launch.js';
import { LOCAL_HOSTS } from '../../confinement/surroundings.js';
import type { ChildProcess } from '../../linux/spawn.js';
import type { CallRequest } from '../../model/call.js';
import { NemoError } from '../../model/errors.js';
import { endingOf } from '../../model/function-source.js';
import type { StoredPackage } from '../../model/package.js';
import { openNetworkNamespace } from '../../network/namespace-of.js';
import type { NetworkManager } from '../../network/network-manager.js';
import { Channel, type ChannelEvents } from '../../sandbox/channel.js';
import { Deferred, removeGroup, startError } from '../../sandbox/ends.js';
import type {
  AheadReport,
  LoadOptions,
  Sandbox,
  SandboxExit,
  SandboxReply,
  StartOptions,
} from '../../sandbox/engine.js';
import { type Endings, guarded } from '../../sandbox/guarded.js';
import { SandboxLifecycle } from '../../sandbox/lifecycle.js';
import { type LogLines, readLog } from '../../sandbox/log-lines.js';
import { SANDBOX } from '../../tunables/index.js';
import { readReport } from './ahead-report.js';

const MODULE_MODE = 0o640;
const PROGRAM_MODE = 0o750;
/** V8 gives up by SIGABRT or SIGTRAP with these words when a heap limit of its own is reached. */
const HEAP_EXHAUSTED = /heap out of memory|Allocation failed/;

/** The agent's end of a sandbox, however it speaks. */
export type SandboxChannel = Pick<Channel, 'inFlight' | 'load' | 'call' | 'callersLeft' | 'endAll'>;

/** What other engines, whose sandboxes are a child process too, do differently. */
export interface SandboxTraits {
  engine: string;
  openChannel?: (socket: Socket, events: ChannelEvents) => SandboxChannel;
  preloaded?: boolean;
  /** Its socket may close before it ends. */
  outlivesSocket?: boolean;
  /** Puts the function where the sandbox finds it; its path there. */
  install?: (options: LoadOptions) => Promise<string>;
  /** Puts packages beside the function. */
  placePackages?: (packages: readonly StoredPackage[]) => Promise<void>;
  /** What its own processes take beside the function; the sandbox's limit is higher by it. */
  hostBytes?: number;
  /** Whether the function's memory was used up, where its end does not say so. */
  exhausted?: (stderrTail: string) => boolean;
  /** After its last process and before `exited` resolves. */
  cleanUp?: () => Promise<void>;
}

export class ProcessSandbox extends SandboxLifecycle implements Sandbox {
  readonly engine: string;
  readonly pid: number;
  readonly preloaded: boolean;
  ahead: AheadReport | undefined;
  readonly exited: Promise<SandboxExit>;
  private readonly channel: SandboxChannel;
  /** Into the function's own log. */
  private readonly say: (message: string) => void;
  private readonly stderr: LogLines;
  private readonly stdout: LogLines;
  private readonly oomKillsBefore: number;
  private started: Deferred | undefined;
  private called = false;
  /** Its first process was reaped. */
  private gone = false;
  private dying: Promise<unknown> | undefined;

  constructor(
    options: StartOptions,
    private readonly child: ChildProcess,
    private readonly directory: string,
    private readonly uid: number,
    private readonly egress?: NetworkManager,
    private readonly traits: SandboxTraits = { engine: 'process' },
  ) {
    super(options);
    this.engine = traits.engine;
    this.preloaded = traits.preloaded === true;
    this.pid = child.pid ?? 0;
    this.oomKillsBefore = options.cgroup.oomKills();
    const log = (stream: 'stdout' | 'stderr') => (timeMs: number, text: string) =>
      options.onLog({ timeMs, sandboxId: options.id, stream, text });
    this.say = (message) => log('stderr')(Date.now(), `nemo: ${message}`);
    const ends: Endings = {
      onViolation: (reason) => this.onViolation(reason),
      onFault: (error) => this.onFault(error),
    };
    this.stdout = readLog(child.stdout!, ends, log('stdout'));
    this.stderr = readLog(child.stderr!, ends, log('stderr'));
    const socket = child.stdio[3] as Socket;
    const events: ChannelEvents = {
      ...ends,
      onReady: (hello) => this.becameReady(hello),
      onLoaded: () => this.onLoaded(),
      onLoadFailed: (error) => this.onLoadFailed(error),
    };
    this.channel = traits.openChannel?.(socket, events) ?? new Channel(socket, events);
    // Usually its process has just ended and says why in a moment; one that closed its end and lives on is of no use.
    const closed = guarded(ends, () => this.onViolation('it closed its socket'));
    if (traits.outlivesSocket !== true)
      socket.on('close', () => setTimeout(closed, SANDBOX.lastWordsMs).unref());
    this.exited = this.watch();
  }

  private becameReady({ ahead }: Record<string, unknown>): void {
    this.ahead = readReport(ahead);
    this.started?.resolve();
  }

  get inFlight(): number {
    return this.channel.inFlight;
  }

  /** Resolves when the runner answered; rejects with SANDBOX_START after the sandbox is gone. */
  async ready(timeoutMs: number = SANDBOX.startTimeoutMs): Promise<void> {
    this.started = new Deferred();
    try {
      await this.started.within(timeoutMs, () => this.startError(`no answer within ${timeoutMs} ms`));
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  load(options: LoadOptions): Promise<void> {
    return this.loadBy(options, () =>
      this.loaded(options, async () => {
        this.cgroup.setMemoryMax(options.memoryBytes + (this.traits.hostBytes ?? 0));
        const path = await (this.traits.install ?? ((of) => this.copyCode(of)))(options);
        if (options.packages !== undefined) await this.traits.placePackages?.(options.packages);
        if (options.egress !== undefined) await this.openNetwork(options.egress, options.ref.key);
        this.channel.load(options, path);
      }),
    );
  }

  private async copyCode({ bundlePath, source }: LoadOptions): Promise<string> {
    const name = `function.${endingOf(source)}`;
    const host = join(this.directory, name);
    await copyFile(bundlePath, host);
    await this.giveToFunction(host, source.kind === 'program' ? PROGRAM_MODE : MODULE_MODE);
    return `${FUNCTION_DIRECTORY}/${name}`;
  }

  private async giveToFunction(path: string, mode = MODULE_MODE): Promise<void> {
    await chown(path, 0, this.uid);
    await chmod(path, mode);
  }

  private async openNetwork(rules: readonly string[], functionKey: string): Promise<void> {
    const namespace = this.egress === undefined ? undefined : openNetworkNamespace(this.cgroup);
    if (this.egress === undefined || namespace === undefined) {
      throw new NemoError('SANDBOX_START', `${this.id} has no network that could be opened`);
    }
    const hosts = join(this.directory, HOSTS_NAME);
    const onRefused = (message: string) => this.say(message);
    const request = { id: this.id, functionKey, namespace, rules, onRefused };
    await writeFile(hosts, LOCAL_HOSTS + (await this.egress.attach(request)));
    await this.giveToFunction(hosts);
    void this.exited.then(() => this.egress?.detach(this.id));
  }

  invoke(call: CallRequest, deadlineMs: number, reply: SandboxReply): void {
    // Its process is gone, though its last words are still awaited: such a call can go elsewhere.
    if (this.ended || this.gone) {
      this.refuse(reply);
      return;
    }
    this.called = true;
    this.channel.call(call, deadlineMs - performance.now(), reply);
  }

  callersLeft(): void {
    this.channel.callersLeft();
  }

  protected endCalls(errorFor: (started: boolean) => NemoError): void {
    this.channel.endAll(errorFor);
  }

  protected strike(): void {
    // It may not be in its group yet.
    this.child.kill('SIGKILL');
    this.dying ??= this.cgroup.kill().catch(() => undefined);
  }

  protected wordsFor(exit: SandboxExit): string {
    return `ended with ${exitWords(exit)}`;
  }

  protected override endStart(why: string): void {
    this.started?.reject(this.startError(why));
  }

  override onViolation(reason: string): void {
    if (!this.gone) super.onViolation(reason);
  }

  private async watch(): Promise<SandboxExit> {
    const { stdout, stderr, stdio } = this.child;
    const closed = Promise.all([this.child, stdout, stderr, stdio[3]].map((one) => closing(one!)));
    const [exitCode, signal] = await new Promise<[number | null, string | null]>((resolve) => {
      this.child.once('exit', (code, name) => resolve([code, name]));
      this.child.once('error', () => resolve([null, null]));
    });
    this.gone = true;
    this.stdout.writerEnded();
    this.stderr.writerEnded();
    // Read before the group goes: it takes its counters with it.
    const oom = this.readOomKills() > this.oomKillsBefore;
    const killing = this.dying;
    await Promise.all([killing, Promise.race([closed, pause(SANDBOX.lastWordsMs)])]);
    const exit = describeExit(exitCode, signal, oom, killing !== undefined, this.stderr.tail);
    if (killing === undefined && this.traits.exhausted?.(exit.stderrTail)) exit.cause = 'oom';
    if (!this.ended) {
      const told = this.endedBy(exit);
      if (this.called && !told && exit.cause !== 'killed') this.say(this.exitError(exit, true).message);
      this.endStart(`it ended with ${exitWords(exit)}`);
    }
    await removeGroup(this.cgroup, this.id);
    await this.traits.cleanUp?.().catch(() => {});
    await rm(this.directory, { recursive: true, force: true }).catch(() => {});
    (this.child.stdio[3] as Socket).destroy();
    return exit;
  }

  private readOomKills(): number {
    try {
      return this.cgroup.oomKills();
    } catch {
      return this.oomKillsBefore;
    }
  }

  private startError(reason: string): NemoError {
    return startError(this.id, reason, this.stderr.tail);
  }
}

/** bwrap passes the end of the process inside on as its own exit code: 128 + signal for a signal. */
function describeExit(
  code: number | null,
  signalName: string | null,
  oomKilled: boolean,
  killedByAgent: boolean,
  stderrTail: string,
): SandboxExit {
  const inside = code !== null && code > 128 ? signalByNumber(code - 128) : undefined;
  const signal = signalName ?? inside ?? null;
  const exitCode = inside === undefined ? code : null;
  const heap = (signal === 'SIGABRT' || signal === 'SIGTRAP') && HEAP_EXHAUSTED.test(stderrTail);
  const cause =
    (oomKilled && signal === 'SIGKILL' && !killedByAgent) || heap
      ? 'oom'
      : killedByAgent
        ? 'killed'
        : signal === null
          ? 'exited'
          : 'crashed';
  return { cause, exitCode, signal, stderrTail };
}

function signalByNumber(number: number): string | undefined {
  return Object.entries(constants.signals).find(([, value]) => value === number)?.[0];
}

function exitWords(exit: SandboxExit): string {
  return exit.signal === null ? `exit code ${exit.exitCode}` : `signal ${exit.signal}`;
}

function closing(one: EventEmitter): Promise<unknown> {
  return new Promise((resolve) => one.once('close', resolve));
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref());
}
