/**
 * One WebAssembly function that is ready. It has a cgroup of its own and, while it runs, a thread in it; when it runs
 * nothing, another sandbox of its group may take that thread. It then keeps its instance there, and sits down again
 * with its next call; where that thread runs another's call, a module of `_start` goes to any other thread, and one
 * whose instance stays waits a little before it begins anew.
 */

import { basename } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import { asNemoError, NemoError } from '../../model/errors.js';
import type { CallRequest } from '../../model/function.js';
import type { Channel } from '../../sandbox/channel.js';
import { Deferred, endError, removeGroup, startError } from '../../sandbox/ends.js';
import type { LoadOptions, SandboxExit, SandboxReply, StartOptions } from '../../sandbox/engine.js';
import { tellAll } from '../../sandbox/guarded.js';
import type { Valve } from '../../streams/valve.js';
import { POOL, SANDBOX, WASM } from '../../tunables/index.js';
import type { Startable } from '../isolate/engine.js';
import type { IsolateHost } from '../isolate/host.js';
import { readCode } from '../isolate/sandbox.js';
import { threadExit, threadExitError } from '../isolate/thread-end.js';
import { ThreadLogs } from '../isolate/thread-logs.js';
import type { Carrier, CarrierEnd, Sitter } from './carrier.js';
import type { Carriers, Passenger } from './carriers.js';

interface Waiting {
  call: CallRequest;
  deadlineMs: number;
  reply: SandboxReply;
}

export class WasmSandbox implements Startable, Sitter, Passenger {
  readonly engine = 'wasm';
  readonly id: string;
  readonly cgroup: Cgroup;
  readonly exited: Promise<SandboxExit>;
  heldBytes = 0;
  private readonly number: number;
  private readonly logs: ThreadLogs;
  private readonly gone = new Deferred<SandboxExit>();
  /** The thread that has its function. */
  private carrier: Carrier | undefined;
  private loaded: LoadOptions | undefined;
  private loading: Deferred | undefined;
  private seating: Promise<void> | undefined;
  private keepsInstance = false;
  private readonly waiting: Waiting[] = [];
  private memoryBytes: number = POOL.memoryMaxDefaultBytes;
  private ended = false;
  private killReason: NemoError | undefined;
  private exit: SandboxExit | undefined;
  private violation = '';

  constructor(
    options: StartOptions,
    private readonly host: IsolateHost,
    private readonly carriers: Carriers,
  ) {
    this.id = options.id;
    this.cgroup = options.cgroup;
    this.logs = new ThreadLogs(options, this);
    this.exited = this.watch();
    this.number = carriers.enter(this);
    host.hold(1, this.memoryBytes);
  }

  get pid(): number {
    return this.host.processId;
  }

  get inFlight(): number {
    return this.waiting.length + (this.sits ? this.carrier!.channel.inFlight : 0);
  }

  get idle(): boolean {
    return !this.ended && this.seating === undefined && this.inFlight === 0;
  }

  private get sits(): boolean {
    return this.carrier?.sitter === this;
  }

  private get functionName(): string {
    return this.loaded?.functionName ?? '';
  }

  async start(): Promise<void> {
    try {
      await this.carriers.prepare();
      if (this.ended) throw startError(this.id, 'it was ended');
      // Without one it shares: it gets its seat with its function.
      const carrier = this.carriers.free();
      if (carrier !== undefined && carrier.sitter === undefined) this.sitOn(carrier);
    } catch (error) {
      await this.kill();
      if (error instanceof NemoError) throw error;
      throw startError(this.id, (error as Error).message);
    }
  }

  async load(options: LoadOptions): Promise<void> {
    if (this.loaded !== undefined) throw new NemoError('INTERNAL', `${this.id} already has a function`);
    this.loaded = options;
    try {
      if (this.ended) throw endError(this.id, this.functionName, 'ended before the code was loaded', true);
      if (options.memoryBytes !== this.memoryBytes) {
        this.host.hold(0, options.memoryBytes - this.memoryBytes);
        this.memoryBytes = options.memoryBytes;
      }
      await this.sitDown();
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

  invoke(call: CallRequest, deadlineMs: number, reply: SandboxReply): void {
    if (this.ended) {
      const { exit } = this;
      const late =
        exit === undefined
          ? endError(this.id, this.functionName, 'had already ended', false)
          : this.errorOf(exit, false);
      reply.onError(this.killReason ?? late);
      return;
    }
    if (this.sits && this.seating === undefined) {
      const { carrier } = this;
      this.carriers.touch(carrier!);
      carrier!.channel.call(call, deadlineMs - performance.now(), reply);
      return;
    }
    this.waiting.push({ call, deadlineMs, reply });
    this.sitDown().catch((thrown: unknown) => {
      const what = `could not go on: ${asNemoError(thrown).message}`;
      void this.kill(this.ended ? undefined : endError(this.id, this.functionName, what, false));
    });
  }

  /** Gets a thread, with its function ready there, and gives it the calls that wait. */
  private sitDown(): Promise<void> {
    this.seating ??= (async () => {
      try {
        const carrier = await this.takeSeat();
        if (carrier.residents.has(this.number)) carrier.channel.select(this.loaded!, this.number);
        else await this.install(carrier);
        for (const { call, deadlineMs, reply } of this.waiting.splice(0)) {
          carrier.channel.call(call, deadlineMs - performance.now(), reply);
        }
      } finally {
        this.seating = undefined;
      }
    })();
    return this.seating;
  }

  private async takeSeat(): Promise<Carrier> {
    const home = this.carrier;
    if (home !== undefined) {
      const untilMs = performance.now() + WASM.homeWaitMs;
      while (this.keepsInstance && !home.ended && !home.free && performance.now() < untilMs) {
        await pause(WASM.homeLookMs);
      }
      if (home.free || this.sits) return this.sitOn(home);
      home.forget(this.number, this);
    }
    for (let carrier = this.carriers.free(); ; carrier = this.carriers.free()) {
      if (carrier !== undefined) return this.sitOn(carrier);
      await this.carriers.add();
    }
  }

  private sitOn(carrier: Carrier): Carrier {
    // Its group may be gone.
    if (this.ended) throw endError(this.id, this.functionName, 'was ended', false);
    carrier.seat(this);
    this.carriers.touch(carrier);
    this.carrier = carrier;
    return carrier;
  }

  /** Loads the function into the thread on which it sits: by name, if a thread of the process has compiled it. */
  private async install(carrier: Carrier): Promise<void> {
    const options = this.loaded!;
    const loading = new Deferred();
    this.loading = loading;
    try {
      if (this.carriers.compiled.has(this.path))
        carrier.channel.load(options, this.path, undefined, this.number);
      else await this.sendCode(carrier);
      const timeoutMs = Math.max(options.timeoutMs, SANDBOX.loadTimeoutMs);
      await loading.within(
        timeoutMs,
        () =>
          new NemoError('FUNCTION_LOAD', `${options.functionName} was not loaded within ${timeoutMs} ms`, {
            hint: 'do less when the module starts',
          }),
      );
      carrier.residents.add(this.number);
      this.carriers.compiled.add(this.path);
    } finally {
      this.loading = undefined;
    }
  }

  /** What the module is known by in its process. A file's content never changes, but its memory is compiled in. */
  private get path(): string {
    return `${basename(this.loaded!.bundlePath)}:${this.memoryBytes}`;
  }

  private async sendCode(carrier: Carrier): Promise<void> {
    const code = await readCode(this.loaded!.bundlePath);
    carrier.channel.load(this.loaded!, this.path, code, this.number);
  }

  callersLeft(): void {
    if (this.sits) this.carrier?.channel.callersLeft();
  }

  async kill(reason?: NemoError): Promise<void> {
    if (!this.ended) {
      const { carrier, sits } = this;
      const running = sits && (this.loading !== undefined || carrier!.channel.inFlight > 0);
      this.ended = true;
      this.killReason = reason;
      const error = (what: string, started: boolean) =>
        reason ?? endError(this.id, this.functionName, what, started);
      this.failWaiting(error('was ended', false));
      if (sits) carrier!.channel.endAll((started) => error('was ended', started));
      this.loading?.reject(error('was ended while its code was being loaded', true));
      if (running) carrier!.end();
      else {
        carrier?.forget(this.number, this);
        this.gone.resolve({ cause: 'killed', exitCode: null, signal: null, stderrTail: this.logs.tail });
      }
    }
    await this.exited;
  }

  private failWaiting(error: NemoError): void {
    tellAll(this.waiting.splice(0), ({ reply }) => reply.onError(error));
  }

  onLoaded(keeps: boolean): void {
    this.keepsInstance = keeps;
    this.loading?.resolve();
  }

  onLoadFailed(error: NemoError): void {
    this.loading?.reject(error);
  }

  onWanted(): void {
    const { carrier, loading } = this;
    if (carrier !== undefined && loading !== undefined) this.sendCode(carrier).catch(loading.reject);
  }

  onMemory(kib: number): void {
    this.heldBytes = kib * 1024;
  }

  onLog(stream: number, text: Buffer, valve: Valve): void {
    this.logs.write(stream, text, valve);
  }

  onFault(error: NemoError): void {
    if (this.ended) return;
    void this.kill(error);
    // Later calls go elsewhere.
    this.killReason = undefined;
  }

  /** While it runs nothing, it just needs another thread with its next call. */
  onThreadEnded(end: CarrierEnd): void {
    const channel = this.carrier!.channel;
    if (this.ended || this.loading !== undefined || channel.inFlight > 0) this.over(end, channel);
    else this.carrier = undefined;
  }

  onProcessEnded(end: CarrierEnd): void {
    this.over(end);
  }

  /** `channel`: that of the thread on which it sat. */
  private over(end: CarrierEnd, channel?: Channel): void {
    const exit = threadExit(end, this.ended, this.logs.tail);
    this.violation ||= end.violation;
    this.gone.resolve(exit);
    if (this.ended) return;
    this.ended = true;
    this.exit = exit;
    this.failWaiting(this.errorOf(exit, false));
    channel?.endAll((started) => this.errorOf(exit, started));
    this.loading?.reject(this.errorOf(exit, true, 'FUNCTION_LOAD'));
  }

  private async watch(): Promise<SandboxExit> {
    const exit = await this.gone.promise;
    this.logs.end();
    await removeGroup(this.cgroup, this.id);
    this.carriers.leave(this);
    this.host.hold(-1, -this.memoryBytes);
    return exit;
  }

  private errorOf(exit: SandboxExit, started: boolean, otherwise?: 'FUNCTION_LOAD'): NemoError {
    const { id, functionName, violation } = this;
    return threadExitError({ id, functionName, violation }, exit, started, otherwise);
  }
}
