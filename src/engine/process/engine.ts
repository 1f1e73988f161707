/**
 * The `process` engine: node inside bubblewrap, one process tree a sandbox. Needs root to start (cgroups, users),
 * never to run: what is inside has no privilege on the host.
 */

import { chownSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { packagePath, requireImported } from '../../bundle/pack.js';
import { PackageShelf } from '../../bundle/package-shelf.js';
import { checkConfined } from '../../confinement/confined/check-function.js';
import type { Confined } from '../../confinement/confined/confined.js';
import { launchCommand, launchRunner } from '../../confinement/launch.js';
import {
  emptyOpenDirectory,
  makeOpenDirectory,
  prepareRuntime,
  type Runtime,
} from '../../confinement/runtime.js';
import type { SetApart } from '../../confinement/start-apart.js';
import { writeOwnFiles } from '../../confinement/surroundings.js';
import { UidRange } from '../../confinement/uids.js';
import { type ExecFileException, execFile } from '../../linux/spawn.js';
import { asNemoError, NemoError } from '../../model/errors.js';
import type { NetworkManager } from '../../network/network-manager.js';
import type { Engine, PrepareRequest, Sandbox, StartOptions } from '../../sandbox/engine.js';
import { SANDBOX } from '../../tunables/index.js';
import { EXEC_VARIANT, prepareProgram, withHostPrograms } from './programs.js';
import { ProcessSandbox } from './sandbox.js';

const RUNTIME = 'runtime';
const PACKAGES = 'packages';
const PROBE = 'probe';

export interface ProcessEngineOptions {
  /**
   * Directory of this engine alone, for example `<stateDir>/sandboxes`; what an earlier agent left there is removed.
   * Every user must be able to pass through the directories above it (not below /root or a private /tmp folder).
   */
  directory: string;
  /** Where functions are bundled. */
  confined: Confined;
  /** Without it no function can have a network. */
  egress?: NetworkManager;
  /** Where functions are kept off the SMT siblings of others. */
  setApart?: SetApart | undefined;
}

export class ProcessEngine implements Engine<'module' | 'program'> {
  readonly kind = 'process';
  private readonly live = new Map<number, ProcessSandbox>();
  private runtime: Runtime | undefined;
  private readonly shelf: PackageShelf;
  private readonly uids = new UidRange(SANDBOX.firstUid, SANDBOX.uidCount);
  private closed = false;

  constructor(private readonly options: ProcessEngineOptions) {
    this.shelf = new PackageShelf(join(options.directory, PACKAGES));
  }

  async check(): Promise<{ ok: true } | { ok: false; reason: string; hint: string }> {
    if (process.getuid?.() !== 0) {
      return { ok: false, reason: 'sandboxes are started as root', hint: 'run with sudo' };
    }
    for (const [program, debianPackage] of [
      ['bwrap', 'bubblewrap'],
      ['setpriv', 'util-linux'],
      ['prlimit', 'util-linux'],
      ['chrt', 'util-linux'],
    ] as const) {
      if (!(await succeeds(program, ['--version']))) {
        return {
          ok: false,
          reason: `${program} is not installed`,
          hint: `apt-get install -y ${debianPackage}`,
        };
      }
    }
    const directory = join(this.options.directory, PROBE);
    try {
      const runtime = this.layOut();
      mkdirSync(directory, { recursive: true });
      const launch = {
        uid: SANDBOX.firstUid,
        joinPaths: [],
        scheduling: 'idle',
        directory,
        runtime,
      } as const;
      const [shell, ...args] = launchCommand(launch, [runtime.nodeInside, '--version']);
      await execFile(shell!, args, { timeout: SANDBOX.startTimeoutMs });
      return { ok: true };
    } catch (thrown) {
      const { stderr, signal, code } = thrown as ExecFileException;
      // Its message would be the whole command line.
      const ended = signal ? `it was ended by ${signal}` : `it ended with code ${code}`;
      const error = asNemoError(thrown);
      return {
        ok: false,
        reason: `a trial sandbox did not start: ${stderr?.trim() || (stderr === undefined ? error.message : ended)}`,
        hint: error.hint ?? 'allow user namespaces: sysctl user.max_user_namespaces=10000',
      };
    } finally {
      rmSync(directory, { recursive: true, force: true });
    }
  }

  async prepare({ source, asker }: PrepareRequest<'module' | 'program'>): Promise<Buffer> {
    if (source.kind === 'program') return prepareProgram(source);
    const { content, filename, packages } = source;
    const { confined } = this.options;
    const { code, imports } = await checkConfined(confined, content, filename, packages.length > 0, asker);
    requireImported(packages, imports);
    return Buffer.from(code);
  }

  async start(options: StartOptions): Promise<Sandbox> {
    if (this.closed)
      throw new NemoError('STOPPING', `sandbox ${options.id} is not started: the agent is stopping`);
    const uid = this.uids.take(options.id, this.live);
    const directory = join(this.options.directory, options.id);
    let sandbox: ProcessSandbox;
    try {
      const common = this.layOut();
      const runtime = options.variant === EXEC_VARIANT ? withHostPrograms(common) : common;
      mkdirSync(directory);
      makeOpenDirectory(directory, 0o750);
      chownSync(directory, 0, uid);
      writeOwnFiles(directory, uid);
      const { scheduling, cgroup, packages = [] } = options;
      await this.shelf.place(packages, options.id, directory);
      const ahead = packages.flatMap(({ hash, entries }) => entries.map((entry) => packagePath(hash, entry)));
      const launch = {
        ...{ uid, joinPaths: cgroup.joinPaths, scheduling, directory, runtime },
        sharedMemoryBytes: SANDBOX.sharedMemoryMaxBytes,
        setApart: this.options.setApart,
      };
      const child = launchRunner(launch, SANDBOX.nodeFlags, ahead);
      sandbox = new ProcessSandbox(options, child, directory, uid, this.options.egress, {
        engine: this.kind,
        placePackages: (more) => this.shelf.place(more, options.id, directory),
        cleanUp: async () => this.shelf.release(options.id),
      });
    } catch (thrown) {
      this.shelf.release(options.id);
      rmSync(directory, { recursive: true, force: true });
      await options.cgroup.remove();
      if (thrown instanceof NemoError) throw thrown;
      const { message } = thrown as Error;
      throw new NemoError('SANDBOX_START', `sandbox ${options.id} did not start: ${message}`, {
        cause: thrown,
      });
    }
    this.live.set(uid, sandbox);
    void sandbox.exited.then(() => this.live.delete(uid));
    await sandbox.ready();
    // What packages printed before it was ready is read by then: the pipe is looked at once more.
    if (options.packages !== undefined) for (let turn = 0; turn < 2; turn++) await nextTurn();
    return sandbox;
  }

  async close(): Promise<void> {
    this.closed = true;
    await Promise.all([...this.live.values()].map((sandbox) => sandbox.kill()));
    rmSync(join(this.options.directory, RUNTIME), { recursive: true, force: true });
  }

  /** Once: clears what a dead agent left, then lays out what the sandboxes share. */
  private layOut(): Runtime {
    if (this.runtime !== undefined) return this.runtime;
    const { directory } = this.options;
    emptyOpenDirectory(directory);
    this.runtime = prepareRuntime(join(directory, RUNTIME));
    return this.runtime;
  }
}

async function succeeds(program: string, args: string[]): Promise<boolean> {
  try {
    await execFile(program, args);
    return true;
  } catch {
    return false;
  }
}
