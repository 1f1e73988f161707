/**
 * What every API of the gateway sees of the box. APIs (native, later OpenFaaS, Lambda, CloudEvents) translate
 * HTTP to these calls and nothing more. `agent.ts` composes it.
 */

import type { Asker } from './asker.js';
import type { Call, CallHead } from './call.js';
import type { CallTrace } from './call-trace.js';
import type { NemoError } from './errors.js';
import type { FeedEvent, FeedFrame } from './feed.js';
import type { FunctionSpec, LogLine } from './function.js';
import type { ExecMode } from './function-source.js';
import type { PackageInput } from './package.js';
import type { PlatformEvent } from './platform-events.js';
import type { ReplySink } from './reply-sink.js';

/** What a user may write when deploying; strings as `128Mi`, `30s`. */
export interface DeployInput {
  name: string;
  /** Default: that of functions that are called by their name alone. */
  namespace?: string;
  /** Source text: one JavaScript or TypeScript module (folders are bundled to one by the CLI). */
  code?: string;
  /** What the code imports from below `/function/packages`; sent by `nemo deploy`. */
  packages?: PackageInput[];
  /** In its place, for engines that run no text: the bytes of a WebAssembly module or a program. */
  codeBase64?: string;
  /** `codeBase64` is a program: run once a call (body on stdin, answer on stdout), or a server on $PORT. */
  exec?: ExecMode;
  /** A container image, in place of code. */
  image?: string;
  /** As in `ImageRequest`. */
  handler?: string;
  port?: number;
  /** Isolation engine; default `process`. */
  engine?: string;
  /** Whose function it is; default `default`. */
  sharingGroup?: string;
  /** Name to show in syntax errors; its ending says the language. Default `<name>.ts`. */
  filename?: string;
  memory?: string | number;
  timeout?: string | number;
  concurrency?: number;
  env?: Record<string, string>;
  schedule?: string;
  egress?: string[];
}

/** Function definitions: validated, stored, found again after a restart. */
export interface FunctionRegistry {
  /** Validates (BAD_REQUEST, BAD_FUNCTION with line and column), stores code and spec durably. */
  deploy(input: DeployInput, asker?: Asker): Promise<{ spec: FunctionSpec; created: boolean }>;
  /** By `FunctionRef.key`; undefined for all other text. */
  get(key: string): FunctionSpec | undefined;
  list(): FunctionSpec[];
  /** NOT_FOUND if there is none. */
  remove(key: string, asker?: Asker): Promise<void>;
  /** Absolute path of the bundled module, for the sandbox. */
  bundlePath(spec: FunctionSpec): string;
  /** Absolute path of a stored package. */
  packagePath(hash: string): string;
  /** Called after every change, with the new spec, or undefined when the function was removed. */
  onChange(listener: (key: string, spec: FunctionSpec | undefined) => void): void;
}

export interface LogBook {
  append(line: LogLine): void;
  /** The last `tail` lines, oldest first. */
  read(functionName: string, tail: number): LogLine[];
  /** Returns the way to stop listening. */
  follow(functionName: string, listener: (line: LogLine) => void): () => void;
  forget(functionName: string): void;
}

export interface EventLog {
  emit(event: PlatformEvent): FeedEvent;
  /** Events with a higher sequence number, oldest first; at most `limit` of the newest. */
  since(seq: number, limit: number): FeedEvent[];
}

export interface TraceBook {
  /** The time lines of a function's last `count` calls, newest first. */
  last(functionName: string, count: number): CallTrace[];
}

/** Archives of images on their way from a client, part by part. */
export interface Uploads {
  /** OVERLOADED if too many are under way, in all or from this client. */
  create(client: string): Promise<{ id: string }>;
  /** Adds a part that begins at `offset`, the size so far. NOT_FOUND, BAD_REQUEST, BODY_TOO_LARGE, STORAGE_FULL. */
  append(id: string, offset: number, part: Buffer): Promise<{ size: number }>;
  remove(id: string): Promise<void>;
}

export interface Platform {
  readonly registry: FunctionRegistry;
  readonly uploads: Uploads;
  readonly logs: LogBook;
  readonly events: EventLog;
  readonly traces: TraceBook;
  /** Accepts a call; every outcome goes to the sink. Never throws. */
  invoke(call: Call, sink: ReplySink): void;
  /** A call was refused before it was one: whoever observes calls hears of it. `functionKey`: what it named, if no function. */
  refused(functionKey: string, call: CallHead, error: NemoError): void;
  /** The isolation engines, and whether each works here. */
  engines(): Promise<EngineReport[]>;
  /** The newest frame of the feed. */
  frame(): FeedFrame;
}

/** What an operator sees of an engine (`nemo engines`, GET /v1/engines). */
export interface EngineReport {
  kind: string;
  about: string;
  ok: boolean;
  /** Where it is ok: how it works here, if that is not the same everywhere. */
  note?: string;
  /** Where it is not ok: why, and the way out. */
  reason?: string;
  hint?: string;
}
