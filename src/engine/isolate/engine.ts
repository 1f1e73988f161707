/**
 * The `isolate` engine: functions as V8 isolates, a worker thread each, in sandboxed processes. A process is started
 * for nobody and becomes that of the first function it is given, for good; or it is that of a sharing group. What
 * keeps processes apart are namespaces, system call filter, user and memory limit. What keeps functions of one group
 * apart is V8, and what of node they are given.
 */

import { readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { checkConfined } from '../../confinement/confined/check-function.js';
import type { Confined } from '../../confinement/confined/confined.js';
import { emptyOpenDirectory, type Runtime } from '../../confinement/runtime.js';
import type { SetApart } from '../../confinement/start-apart.js';
import { UidRange } from '../../confinement/uids.js';
import type { Cgroup, CgroupDriver } from '../../linux/cgroup/driver.js';
import { NemoError } from '../../model/errors.js';
import { BODY_MAX_BYTES } from '../../runner/frames.js';
import { allowedName, refusal } from '../../runner/isolate/allowed.js';
import type { Engine, PrepareRequest, Sandbox, StartOptions } from '../../sandbox/engine.js';
import { ISOLATE } from '../../tunables/index.js';
import { ProcessEngine } from '../process/engine.js';
import { ALONE } from '../sharing.js';
import { IsolateHost } from './host.js';
import { JS_PROGRAM, JS_REHEARSAL, prepareIsolateRuntime, THREAD_INSIDE, WASM_PROGRAM } from './runtime.js';
import { IsolateSandbox } from './sandbox.js';

const RUNTIME = 'runtime';

export interface IsolateEngineOptions {
  /** Directory of this engine alone; what an earlier agent left there is removed. */
  directory: string;
  driver: CgroupDriver;
  /** Where functions are bundled, and modules looked at. */
  confined: Confined;
  /** Cores that sandboxes may be put on, and those for the main threads of their processes. */
  cores: readonly number[];
  housekeepingCores: readonly number[];
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
}

/** A sandbox that is not yet a stem. Rejects with SANDBOX_START after it is gone. */
export interface Startable extends Sandbox {
  start(): Promise<void>;
}

export class IsolateEngine<K extends 'module' | 'wasm' = 'module'> implements Engine<K> {
  readonly kind: string = 'isolate';
  /** What its threads run. */
  protected readonly program: string = JS_PROGRAM;
  /** What a stem runs before it is one. */
  private readonly rehearsal: Buffer = readFileSync(JS_REHEARSAL);
  /** All that there are, with their users. */
  private readonly hosts = new Map<IsolateHost, number>();
  private readonly ofGroups = new Map<string, IsolateHost>();
  /** Made for one sandbox, which has not come yet; by the group that it was told. */
  private readonly expecting = new Map<Cgroup, IsolateHost>();
  private readonly uids: UidRange;
  private runtime: Promise<Runtime> | undefined;
  private counter = 0;
  private closed = false;

  constructor(
    protected readonly options: IsolateEngineOptions,
    firstUid: number = ISOLATE.firstUid,
  ) {
    this.uids = new UidRange(firstUid, ISOLATE.uidCount);
  }

  /** As for the process engine, with a trial of its own. */
  async check(): Promise<{ ok: true } | { ok: false; reason: string; hint: string }> {
    const directory = join(this.options.directory, 'probe');
    return new ProcessEngine({ directory, confined: this.options.confined }).check();
  }

  async prepare({ source, asker }: PrepareRequest<K>): Promise<Buffer> {
    const { content, filename } = source;
    const { code, imports } = await checkConfined(this.options.confined, content, filename, false, asker);
    const refused = imports.find((name) => allowedName(name) === undefined);
    if (refused !== undefined) {
      throw new NemoError('BAD_FUNCTION', `${filename}: ${refusal(refused)}`, {
        hint: 'deploy it with --engine process, or without what needs that module',
      });
    }
    return inOneFrame(Buffer.from(code), filename);
  }

  async processGroup(variant: string, scheduling: StartOptions['scheduling']): Promise<Cgroup> {
    const runtime = await this.layOut();
    if (variant !== ALONE) return this.hostOf(variant, scheduling, runtime).group;
    const host = this.launch(scheduling, runtime);
    this.expecting.set(host.group, host);
    setTimeout(() => this.expecting.delete(host.group) && void host.close(), ISOLATE.unclaimedMs).unref();
    return host.group;
  }

  async start(options: StartOptions): Promise<Sandbox> {
    const { variant = ALONE, scheduling, processGroup } = options;
    let sandbox: Startable;
    let host: IsolateHost;
    try {
      const runtime = await this.layOut();
      if (this.closed)
        throw new NemoError('STOPPING', `sandbox ${options.id} is not started: the agent is stopping`);
      host =
        variant === ALONE
          ? (this.expected(processGroup) ?? this.launch(scheduling, runtime))
          : this.hostOf(variant, scheduling, runtime);
      sandbox = this.sandboxOn(host, options);
    } catch (thrown) {
      await options.cgroup.remove();
      if (thrown instanceof NemoError) throw thrown;
      const { message } = thrown as Error;
      throw new NemoError('SANDBOX_START', `sandbox ${options.id} did not start: ${message}`, {
        cause: thrown,
      });
    }
    await sandbox.start();
    // Those of a process that several share are nobody's, and stay on the housekeeping cores.
    if (variant === ALONE) host.lendHelpers(options.cgroup);
    return sandbox;
  }

  protected sandboxOn(host: IsolateHost, options: StartOptions): Startable {
    return new IsolateSandbox(this.kind, options, host, this.rehearsal);
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.hosts.keys()].map((host) => host.close()));
    rmSync(join(this.options.directory, RUNTIME), { recursive: true, force: true });
  }

  private expected(group: Cgroup | undefined): IsolateHost | undefined {
    const host = group && this.expecting.get(group);
    if (host !== undefined) this.expecting.delete(host.group);
    return host;
  }

  private hostOf(group: string, scheduling: StartOptions['scheduling'], runtime: Runtime): IsolateHost {
    const known = this.ofGroups.get(group);
    if (known !== undefined && !known.closing) return known;
    const host = this.launch(scheduling, runtime);
    this.ofGroups.set(group, host);
    void host.exited.then(() => {
      if (this.ofGroups.get(group) === host) this.ofGroups.delete(group);
    });
    return host;
  }

  private launch(scheduling: StartOptions['scheduling'], runtime: Runtime): IsolateHost {
    const { directory, driver, cores, housekeepingCores, setApart } = this.options;
    const name = `${this.kind}-${++this.counter}`;
    const uid = this.uids.take(name, new Set(this.hosts.values()));
    const host = new IsolateHost({
      name,
      driver,
      cores,
      housekeepingCores,
      directory: join(directory, name),
      uid,
      runtime,
      program: THREAD_INSIDE,
      sharesModules: this.program === WASM_PROGRAM,
      scheduling,
      setApart,
    });
    this.hosts.set(host, uid);
    void host.exited.then(() => this.hosts.delete(host));
    return host;
  }

  protected layOut(): Promise<Runtime> {
    this.runtime ??= (async () => {
      const { directory } = this.options;
      emptyOpenDirectory(directory);
      return prepareIsolateRuntime(join(directory, RUNTIME), this.program);
    })();
    // A disk that was full may have room at the next try.
    this.runtime.catch(() => {
      this.runtime = undefined;
    });
    return this.runtime;
  }
}

/** The code goes to its thread as one frame. */
export function inOneFrame(content: Buffer, filename: string): Buffer {
  if (content.length <= BODY_MAX_BYTES) return content;
  throw new NemoError('BAD_FUNCTION', `${filename} has ${content.length} bytes of code`, {
    hint: `at most ${BODY_MAX_BYTES} with this engine; --engine process takes more`,
  });
}
