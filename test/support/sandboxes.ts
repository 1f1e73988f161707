/**
 * Real sandboxes for tests: an engine and cgroups of their own, removed with everything in them at the end.
 * Default scheduling unless asked: an idle sandbox on a machine full of other tests starts when it likes.
 */

import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { sealPackage } from '../../src/bundle/pack.js';
import { Confined } from '../../src/confinement/confined/confined.js';
import type { SetApart } from '../../src/confinement/start-apart.js';
import { builtinEngines } from '../../src/engine/builtin.js';
import { StorageQuota } from '../../src/host/storage-quota.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { onlineCores } from '../../src/linux/online-cores.js';
import type { CallRequest } from '../../src/model/call.js';
import type { NemoError } from '../../src/model/errors.js';
import type { FunctionSpec, LogLine } from '../../src/model/function.js';
import { functionRef } from '../../src/model/function-ref.js';
import { endingOf } from '../../src/model/function-source.js';
import type { PackageInput, StoredPackage } from '../../src/model/package.js';
import { Egress } from '../../src/network/egress.js';
import type { Engine, EngineEntry, LoadOptions, Sandbox, StartOptions } from '../../src/sandbox/engine.js';
import { MODULE } from './sources.js';

export interface Answer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
  chunks: number;
}

export type LogEntry = Omit<LogLine, 'functionName'>;
export type LoadInput = Partial<LoadOptions> & { pidsMax?: number; variant?: string };
export type CallInput = Partial<Omit<CallRequest, 'body'>> & { body?: Buffer | string };

let groups = 0;

export class SandboxBench {
  readonly directory = mkdtempSync('/var/tmp/nemo-test-sandbox-');
  readonly driver: CgroupDriver;
  readonly entry: EngineEntry;
  private readonly opened: Promise<Engine>;
  readonly confined: Confined;
  readonly logs: LogEntry[] = [];
  private count = 0;

  private readonly group: string;
  readonly egress: Egress;

  /** `group`: of the sandboxes that are started without a variant; without it, engines of threads give each a process. */
  constructor(
    kind = 'process',
    {
      group = '',
      egress = new Egress(),
      setApart,
    }: { group?: string; egress?: Egress; setApart?: SetApart } = {},
  ) {
    this.group = group;
    this.egress = egress;
    chmodSync(this.directory, 0o755);
    this.driver = openCgroupDriver({ rootName: `nemo-test-sandbox-${process.pid}-${groups++}`, idle: false });
    this.confined = confinedIn(this.directory, this.driver);
    const { driver, confined } = this;
    const stateDir = join(this.directory, 'state');
    const cores = { functionCores: onlineCores(), housekeepingCores: [onlineCores()[0]!] };
    const entries = builtinEngines({
      directory: join(this.directory, 'sandboxes'),
      storage: new StorageQuota({ stateDir }),
      ...{ stateDir, driver, egress, confined, setApart },
      ...cores,
    });
    this.entry = entries.find((entry) => entry.kind === kind)!;
    this.opened = this.entry.open();
  }

  engine(): Promise<Engine> {
    return this.opened;
  }

  /** Of the stems that functions of this sharing group, or of none, may have. */
  variantFor(group?: string): string {
    const sharing = group === undefined ? {} : { sharingGroup: group };
    const spec: Partial<FunctionSpec> = {
      ref: functionRef('probe'),
      ...sharing,
      codeHash: '',
      source: MODULE,
    };
    return this.entry.variant?.(spec as FunctionSpec) ?? '';
  }

  async close(): Promise<void> {
    await (await this.opened).close();
    await this.confined.close();
    await this.egress.close();
    await this.driver.removeAll();
    rmSync(this.directory, { recursive: true, force: true });
  }

  async start(options: Partial<StartOptions> = {}, pidsMax = 64): Promise<Sandbox> {
    const engine = await this.opened;
    const id = `sb-${this.count++}`;
    const { variant = this.group } = options;
    const within = await engine.processGroup?.(variant, options.scheduling ?? 'default');
    const cgroup = this.driver.create(id, { memoryMaxBytes: 128 * 1024 * 1024, pidsMax }, within);
    const processGroup = within === undefined ? {} : { processGroup: within };
    const onLog = (line: LogEntry) => this.logs.push(line);
    return engine.start({ id, cgroup, scheduling: 'default', onLog, ...processGroup, ...options, variant });
  }

  async load(
    sandbox: Sandbox,
    code: string | Buffer,
    { source = MODULE, ...options }: LoadInput = {},
  ): Promise<void> {
    const bundlePath = join(this.directory, `${sandbox.id}.${endingOf(source)}`);
    writeFileSync(bundlePath, code);
    await sandbox.load({
      ref: functionRef('probe'),
      source,
      bundlePath,
      env: {},
      memoryBytes: 128 * 1024 * 1024,
      timeoutMs: 10_000,
      ...options,
    });
  }

  /** A package as the agent has it. */
  store(input: PackageInput): StoredPackage {
    const { content, ...ref } = sealPackage(input);
    const path = join(this.directory, `${ref.hash}.pkg`);
    writeFileSync(path, content);
    return { ...ref, path };
  }

  /** A warm sandbox with this code. */
  async run(
    code: string | Buffer,
    { pidsMax, variant = this.group, ...options }: LoadInput = {},
  ): Promise<Sandbox> {
    const sandbox = await this.start({ variant }, pidsMax);
    await this.load(sandbox, code, options);
    return sandbox;
  }
}

/** In a folder of a test's own. */
export function confinedIn(directory: string, driver: CgroupDriver): Confined {
  const housekeepingCores = [onlineCores()[0]!];
  return new Confined({ directory: join(directory, 'confined'), driver, housekeepingCores });
}

/** `caller`: who may be said to have left. */
export function call(
  sandbox: Sandbox,
  input: CallInput = {},
  deadlineMs?: number,
  caller: { gone?: boolean } = {},
): Promise<Answer> {
  const { body = '', ...rest } = input;
  const request: CallRequest = {
    callId: 'call-1',
    ref: functionRef('probe'),
    method: 'POST',
    path: '/',
    query: '',
    headers: {},
    ...rest,
    body: typeof body === 'string' ? Buffer.from(body) : body,
  };
  return new Promise((resolve, reject) => {
    const answer = { status: 0, headers: {}, chunks: 0 };
    const chunks: Buffer[] = [];
    sandbox.invoke(request, deadlineMs ?? performance.now() + 10_000, {
      get gone() {
        return caller.gone === true;
      },
      onHead: (status, headers) => Object.assign(answer, { status, headers }),
      onChunk: (chunk) => chunks.push(chunk),
      onEnd: () => resolve({ ...answer, body: Buffer.concat(chunks), chunks: chunks.length }),
      onError: reject,
    });
  });
}

export function json(body: unknown): CallInput {
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) };
}

/** The parsed answer of a call with a JSON event. */
export async function ask(sandbox: Sandbox, event?: unknown): Promise<unknown> {
  const answer = await call(sandbox, event === undefined ? {} : json(event));
  return answer.body.length === 0 ? undefined : JSON.parse(answer.body.toString());
}

/** The error with which `promise` is rejected; fails if it resolves. */
export async function errorOf(promise: Promise<unknown>): Promise<NemoError> {
  const unexpected = Symbol('resolved');
  const outcome = await promise.then(
    () => unexpected,
    (error: unknown) => error,
  );
  if (outcome === unexpected) throw new Error('resolved where an error was expected');
  return outcome as NemoError;
}
