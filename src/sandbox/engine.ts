/**
 * The interface of an isolation engine. Harvest and conflict do not depend on engines: they see a Sandbox's cgroup.
 * A sandbox is born a *stem* (a runtime, no code), becomes *warm* by `load`, and serves calls until it ends.
 */

import type { Cgroup } from '../linux/cgroup/driver.js';
import type { Asker } from '../model/asker.js';
import type { CallRequest } from '../model/call.js';
import type { NemoError } from '../model/errors.js';
import type { FunctionSpec, LogLine } from '../model/function.js';
import type { FunctionRef } from '../model/function-ref.js';
import type { FunctionSource, SourceKind, StoredSource } from '../model/function-source.js';
import type { StoredPackage } from '../model/package.js';
import type { AnswerSink } from '../model/reply-sink.js';
import type { FunctionScheduling } from '../policy/harvest/policies.js';

/** What a stem measured of the packages that it imported ahead. Their code could forge it, to its own harm only. */
export interface AheadReport {
  cpuMs: number;
  /** Memory that they took. */
  bytes: number;
  /** Environment variables that they read. */
  reads: readonly string[];
  /** They looked at the whole environment. */
  readsAll: boolean;
  /** Why they must not run ahead, as a message. */
  effect?: string;
}

export interface StartOptions {
  /** Unique in the box: `sb-<number>`. */
  id: string;
  cgroup: Cgroup;
  /** `EngineEntry.variant` of the functions that it is for: what the stem has to fit beside the engine. */
  variant?: string;
  /** What the stem imports before it is ready. */
  packages?: readonly StoredPackage[];
  /** What `Engine.processGroup` gave for it. */
  processGroup?: Cgroup;
  /** Threads start as SCHED_IDLE (`idle`) or at default scheduling. */
  scheduling: FunctionScheduling;
  /** The only thing that it will load: an engine may start it with that loaded already. */
  willLoad?: LoadOptions;
  onLog: (line: Omit<LogLine, 'functionName'>) => void;
}

export interface LoadOptions {
  ref: FunctionRef;
  source: StoredSource;
  /** Absolute path on the host of what `Engine.prepare` made. */
  bundlePath: string;
  env: Record<string, string>;
  memoryBytes: number;
  timeoutMs: number;
  /** Calls that run at the same time; those beyond it wait in the sandbox, in order. Default 1. */
  concurrency?: number;
  /** What its code imports beside itself. */
  packages?: readonly StoredPackage[];
  /** What it may connect to, as rules of `egress-rules.ts`; without it, nothing. */
  egress?: readonly string[];
}

/** Why a sandbox ended. */
export interface SandboxExit {
  cause: 'oom' | 'exited' | 'killed' | 'crashed';
  exitCode: number | null;
  signal: string | null;
  /** Last lines of stderr, for the error message. */
  stderrTail: string;
}

/** How a sandbox answers a call; order as in `ReplySink`. */
export interface SandboxReply extends AnswerSink {
  onEnd(): void;
  /** The function failed (FUNCTION_ERROR) or the sandbox ended (FUNCTION_EXIT, FUNCTION_OOM). */
  onError(error: NemoError): void;
}

export interface Sandbox {
  readonly id: string;
  readonly engine: string;
  /** Process id on the host of the sandbox's first process. */
  readonly pid: number;
  readonly cgroup: Cgroup;
  /** It has `StartOptions.willLoad` loaded, and can `load` nothing else. */
  readonly preloaded?: boolean;
  /** Stem to warm. Rejects with BAD_FUNCTION (no handler) or FUNCTION_LOAD (threw while loading, or ended). */
  load(options: LoadOptions): Promise<void>;
  /**
   * Sends a call. Calls may be sent ahead: the sandbox runs at most `concurrency` at a time, in order
   * (1 unless `load` was given another number). `deadlineMs` is on the clock of `performance.now()`, of a call
   * that begins at once; one that waits for others here has as much time from its own begin. The sandbox tells it to
   * the function but does not enforce it: that is the caller's, by `kill`. When the sandbox
   * ends, `details.started` of the error tells whether the call may have begun; one that has not can be sent again.
   */
  invoke(call: CallRequest, deadlineMs: number, reply: SandboxReply): void;
  /** Some whose `reply.gone` is true now have left: the function is told, so that it can stop. */
  callersLeft?(): void;
  /** Of a stem that imported packages ahead. */
  readonly ahead?: AheadReport | undefined;
  /** Memory it holds, where its process does not show it because others share it. */
  readonly heldBytes?: number;
  /** Calls sent and not yet ended. */
  readonly inFlight: number;
  /** Kills every process of the sandbox. Calls in flight end with FUNCTION_EXIT unless `reason` is given. */
  kill(reason?: NemoError): Promise<void>;
  /** Resolves when the last process is gone and the cgroup and directories are removed. Never rejects. */
  readonly exited: Promise<SandboxExit>;
}

/** A function that is being deployed. */
export interface PrepareRequest<K extends SourceKind = SourceKind> {
  functionName: string;
  source: FunctionSource<K>;
  /** It wants to connect to something. */
  egress?: boolean;
  asker?: Asker | undefined;
}

/** An engine before it is used: its code is loaded when the first function needs it. */
export interface EngineEntry {
  readonly kind: string;
  /** One line for `nemo engines`. */
  readonly about: string;
  /**
   * A stem fits every function of its engine and variant: for example the group that shares a process, or an image.
   * Left out: one variant, ''.
   */
  variant?(spec: FunctionSpec): string;
  /** What limits of memory have beyond a function's own: for each sandbox, and for a process, which several may share. */
  readonly ownBytes?: { sandbox: number; process: number };
  /** Whether its functions can connect to what their allow-list names. */
  readonly egress?: boolean;
  /** What its functions may be made of: `Engine.prepare` is given nothing else. */
  readonly runs: readonly SourceKind[];
  /** Whether it keeps something of functions on disk, also of earlier agents: then `Engine.retain` is called at changes. */
  keeps?(): boolean;
  /** Takes packages apart from the code, and stems that imported some ahead. */
  readonly packages?: boolean;
  open(): Promise<Engine>;
}

export interface Engine<K extends SourceKind = SourceKind> {
  readonly kind: string;
  /** Whether the engine works here, in which way if there are several, and if not, why: a message for an operator. */
  check(): Promise<{ ok: true; note?: string } | { ok: false; reason: string; hint: string }>;
  /**
   * The engine's part of a deploy: checks a function and returns what is stored of it under its hash, for `Sandbox.load`.
   * All errors that show without running it are found here. Rejects with BAD_FUNCTION.
   */
  prepare(request: PrepareRequest<K>): Promise<Buffer>;
  /** Where sandboxes are threads: the group of the process that a stem will be part of (see `CgroupDriver.create`). */
  processGroup?(variant: string, scheduling: StartOptions['scheduling']): Promise<Cgroup>;
  /** Starts a stem; resolves when its runtime answered. Rejects with SANDBOX_START. */
  start(options: StartOptions): Promise<Sandbox>;
  /** Whether a start with this as `willLoad` is ready sooner than a stem that loads it. */
  restores?(load: LoadOptions): Promise<boolean>;
  /** Removes what the engine keeps of any other function, or of an earlier version of these. */
  retain?(functions: readonly FunctionSpec[]): void;
  close(): Promise<void>;
}
