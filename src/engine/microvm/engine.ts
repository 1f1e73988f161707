/**
 * The `microvm` engine: a virtual machine with its own kernel for each sandbox, started from a snapshot of one that
 * booted once, or of one that loaded this function once. The function's code and calls go through a virtio-serial port; there is no network and no disk but
 * a read-only root. QEMU is a process in the sandbox's cgroup, so it is pinned, throttled, frozen and accounted like any.
 */

import { chmodSync, chownSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { checkConfined } from '../../confinement/confined/check-function.js';
import type { Confined } from '../../confinement/confined/confined.js';
import { emptyOpenDirectory, makeOpenDirectory, prepareRuntime } from '../../confinement/runtime.js';
import type { SetApart } from '../../confinement/start-apart.js';
import { UidRange } from '../../confinement/uids.js';
import { installLine, missingPackages } from '../../host/packages.js';
import type { Cgroup, CgroupDriver } from '../../linux/cgroup/driver.js';
import type { ChildProcess } from '../../linux/spawn.js';
import { NemoError } from '../../model/errors.js';
import type { FunctionSpec } from '../../model/function.js';
import { Channel, type ChannelEvents } from '../../sandbox/channel.js';
import type { Engine, LoadOptions, PrepareRequest, Sandbox, StartOptions } from '../../sandbox/engine.js';
import { readLog } from '../../sandbox/log-lines.js';
import { SnapshotManager } from '../../snapshots/manager.js';
import type { OpenSnapshot } from '../../snapshots/snapshot.js';
import { type StoreConfig, storesOf } from '../../snapshots/stores.js';
import { MICROVM, POOL } from '../../tunables/index.js';
import { ProcessSandbox } from '../process/sandbox.js';
import { BaseSnapshots, type BaseSnapshotsOptions } from './base-snapshots.js';
import { FunctionSnapshots } from './function-snapshots.js';
import { goOn, synchronise } from './load-in-machine.js';
import { type Accelerator, Fd, launchMachine, type MachineRuntime, socketOf } from './machine.js';
import { memoryLibrary } from './memory-library.js';
import { Qmp } from './qmp.js';
import { microvmVariant } from './variant.js';

export const MICROVM_ENGINE = 'microvm';
const PACKAGES = ['qemu-system-x86', 'busybox-static', 'e2fsprogs', 'bubblewrap', 'util-linux'];
/** A guest's kernel that had no memory left says so on its console; node says so too. */
const EXHAUSTED = /Out of memory: Killed process|heap out of memory|Allocation failed/;

export interface MicrovmConfig {
  accelerator: Accelerator | 'auto';
  kernel: string | undefined;
  /** Of snapshots. */
  stores: readonly StoreConfig[];
}

export interface MicrovmEngineOptions extends MicrovmConfig {
  /** Of this engine alone; what an earlier agent left there is removed. Every user must be able to pass through. */
  directory: string;
  /** Kernel, image and snapshots; kept. */
  stateDir: string;
  driver: CgroupDriver;
  confined: Confined;
  housekeepingCores: readonly number[];
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
  onNote: (line: string) => void;
}

export class MicrovmEngine implements Engine<'module'> {
  readonly kind = MICROVM_ENGINE;
  readonly snapshots: SnapshotManager;
  private readonly stems: BaseSnapshots;
  private readonly functions: FunctionSnapshots;
  private readonly live = new Map<number, ProcessSandbox>();
  private runtime: MachineRuntime | undefined;
  private readonly uids = new UidRange(MICROVM.firstUid, MICROVM.uidCount);
  private closed = false;

  constructor(private readonly options: MicrovmEngineOptions) {
    const { directory, stateDir, driver, housekeepingCores, accelerator, kernel, onNote } = options;
    this.snapshots = new SnapshotManager({ stores: storesOf(options.stores, stateDir), onNote });
    const common: BaseSnapshotsOptions = {
      ...{ stateDir, runDir: directory, snapshots: this.snapshots, driver, accelerator, kernel, onNote },
      cores: housekeepingCores,
      setApart: options.setApart,
      runtime: () => this.layOut(),
      uid: MICROVM.firstUid + MICROVM.uidCount,
    };
    this.stems = new BaseSnapshots(common);
    this.functions = new FunctionSnapshots(this.stems, common);
  }

  async check(): Promise<{ ok: true; note: string } | { ok: false; reason: string; hint: string }> {
    if (process.getuid?.() !== 0)
      return { ok: false, reason: 'machines are started as root', hint: 'run with sudo' };
    if (process.arch !== 'x64')
      return { ok: false, reason: `guests are for x64, this is ${process.arch}`, hint: 'use the engine oci' };
    const missing = await missingPackages(PACKAGES);
    if (missing.length > 0)
      return { ok: false, reason: `not installed: ${missing.join(', ')}`, hint: installLine(missing) };
    return { ok: true, note: this.stems.describe() };
  }

  async prepare({ source, asker }: PrepareRequest<'module'>): Promise<Buffer> {
    const { content, filename } = source;
    const { code } = await checkConfined(this.options.confined, content, filename, false, asker);
    // So that the first call does not wait for a boot.
    await this.stems.ensure(Number(microvmVariant(POOL.memoryMaxDefaultBytes)));
    return Buffer.from(code);
  }

  async start(options: StartOptions): Promise<Sandbox> {
    const { id, cgroup, scheduling, variant = '', willLoad } = options;
    if (this.closed) throw new NemoError('STOPPING', `sandbox ${id} is not started: the agent is stopping`);
    const { setApart } = this.options;
    const startMs = performance.now();
    const directory = join(this.options.directory, id);
    let sandbox: ProcessSandbox;
    let snapshot: OpenSnapshot | undefined;
    let restored = false;
    let uid = 0;
    try {
      const runtime = this.layOut();
      const heapMb = Number(variant || microvmVariant(POOL.memoryMaxDefaultBytes));
      const loaded = willLoad === undefined ? undefined : await this.functions.open(willLoad);
      restored = loaded !== undefined;
      const { snapshot: opened, ...machine } = loaded ?? (await this.stems.open(heapMb));
      snapshot = opened;
      try {
        uid = this.uids.take(id, this.live);
        mkdirSync(directory);
        makeOpenDirectory(directory, 0o750);
        chownSync(directory, 0, uid);
        cgroup.setMemoryMax(POOL.memoryMaxDefaultBytes + MICROVM.hostBytes);
        const child = launchMachine(
          { ...machine, share: false, incoming: true },
          { uid, joinPaths: cgroup.joinPaths, scheduling, directory, runtime, setApart },
          { ...machine.files, memoryFd: opened.memoryFd, devicesFd: opened.devicesFd },
        );
        void goOn(new Qmp(socketOf(child, Fd.qmp)));
        sandbox = this.wrap(options, child, directory, uid, opened, restored ? willLoad : undefined);
      } finally {
        opened.close();
      }
    } catch (thrown) {
      snapshot?.over();
      rmSync(directory, { recursive: true, force: true });
      await cgroup.remove();
      if (thrown instanceof NemoError) throw thrown;
      throw new NemoError('SANDBOX_START', `sandbox ${id} did not start: ${(thrown as Error).message}`, {
        cause: thrown,
      });
    }
    this.live.set(uid, sandbox);
    void sandbox.exited.then(() => this.live.delete(uid));
    try {
      await sandbox.ready();
    } catch (thrown) {
      if (restored && !this.closed) this.functions.spoilt(willLoad!.ref.key);
      throw thrown;
    } finally {
      snapshot.over();
    }
    this.functions.started(performance.now() - startMs);
    return sandbox;
  }

  /** `restored`: what its machine has loaded already. */
  private wrap(
    options: StartOptions,
    child: ChildProcess,
    directory: string,
    uid: number,
    snapshot: OpenSnapshot,
    restored: LoadOptions | undefined,
  ): ProcessSandbox {
    const { functions } = this;
    let exhausted = false;
    const end = (): void => void child.kill('SIGKILL');
    readLog(socketOf(child, Fd.console), { onViolation: end, onFault: end }, (_timeMs, line) => {
      exhausted ||= EXHAUSTED.test(line);
    });
    let code: Buffer;
    return new ProcessSandbox(options, child, directory, uid, undefined, {
      engine: MICROVM_ENGINE,
      preloaded: restored !== undefined,
      hostBytes: MICROVM.hostBytes,
      exhausted: (stderrTail) => exhausted || EXHAUSTED.test(stderrTail),
      openChannel(socket, events) {
        let onLoaded = (): void => {};
        const own: ChannelEvents = {
          ...events,
          onLoaded(kind) {
            onLoaded();
            events.onLoaded(kind);
          },
          onAnswered: () => snapshot.answered(() => pidsIn(options.cgroup)),
        };
        // Its runner said that it is there before the snapshot was made.
        const channel = new Channel(socket, own, 0);
        void synchronise(socketOf(child, Fd.sync), Date.now()).then(() => events.onReady({}));
        return {
          get inFlight() {
            return channel.inFlight;
          },
          load(load, path) {
            if (restored !== undefined) return channel.wake(load);
            const startMs = performance.now();
            onLoaded = () => void functions.loaded(load, code, performance.now() - startMs);
            channel.load(load, path, code);
          },
          call: (...args) => channel.call(...args),
          callersLeft: () => channel.callersLeft(),
          endAll: (errorFor) => channel.endAll(errorFor),
        };
      },
      async install(load: LoadOptions) {
        // A caller's mistake: with another function's code and environment in it, it must never answer.
        if (restored !== undefined && !isDeepStrictEqual(load, restored))
          throw new NemoError('INTERNAL', `${options.id} has loaded ${restored.ref.key} as it was`);
        code = await readFile(load.bundlePath);
        return '';
      },
    });
  }

  restores(load: LoadOptions): Promise<boolean> {
    return this.functions.restores(load);
  }

  retain(functions: readonly FunctionSpec[]): void {
    this.functions.retain(functions);
  }

  async close(): Promise<void> {
    this.closed = true;
    const snapshots = [this.stems.close(), this.functions.close()];
    await Promise.all([...snapshots, ...[...this.live.values()].map((sandbox) => sandbox.kill())]);
    await this.snapshots.close();
    rmSync(this.options.directory, { recursive: true, force: true });
  }

  /** Once: clears what a dead agent left, then lays out what all machines share. */
  private layOut(): MachineRuntime {
    if (this.runtime !== undefined) return this.runtime;
    const { directory } = this.options;
    emptyOpenDirectory(directory);
    const { seccompPath } = prepareRuntime(join(directory, 'runtime'), undefined, 'machine');
    const libraryPath = join(directory, 'runtime', 'memory.so');
    writeFileSync(libraryPath, memoryLibrary());
    chmodSync(libraryPath, 0o644);
    this.runtime = { seccompPath, libraryPath };
    return this.runtime;
  }
}

function pidsIn({ joinPaths }: Cgroup): number[] {
  return readFileSync(joinPaths[0]!, 'utf8').split('\n').filter(Boolean).map(Number);
}
