/**
 * The `wasm` engine: WebAssembly modules with WASI preview 1. Threads, processes and sharing groups as in the `isolate`
 * engine; within a thread, a module reaches its own memory and what preview 1 gives it, which is no file and no
 * socket. A module is looked at in a sandbox of its own at deploy, never by the agent.
 */

import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { NemoError } from '../../../errors.js';
import { spawn } from '../../../linux/spawn.js';
import { ISOLATE, WASM } from '../../../tunables.js';
import type { Artifact, FunctionSource, StartOptions } from '../../engine.js';
import { artifact, IsolateEngine, type IsolateEngineOptions } from '../isolate/engine.js';
import type { IsolateHost } from '../isolate/host.js';
import { CHECK_INSIDE, permissionFlags, WASM_PROGRAM } from '../isolate/runtime.js';
import { launchCommand } from '../process/launch.js';
import { readLog } from '../process/log-lines.js';
import { makeOpenDirectory } from '../process/runtime.js';
import { Carriers } from './carriers.js';
import { WasmSandbox } from './sandbox.js';

export class WasmEngine extends IsolateEngine {
  override readonly kind = 'wasm';
  protected override readonly program = WASM_PROGRAM;
  private readonly carriers = new WeakMap<IsolateHost, Carriers>();
  private checks = 0;

  constructor(options: IsolateEngineOptions) {
    super(options, WASM.firstUid);
  }

  override async prepare({ content, filename }: FunctionSource): Promise<Artifact> {
    const prepared = artifact(content, 'wasm', filename);
    const wrong = await this.inspect(content);
    if (wrong === '') return prepared;
    throw new NemoError('BAD_FUNCTION', `${filename} is no module that can be run: ${wrong}`, {
      hint: 'export memory and _start (a WASI command), or memory, alloc and handle; import from wasi_snapshot_preview1 only',
    });
  }

  protected override sandboxOn(host: IsolateHost, options: StartOptions): WasmSandbox {
    let carriers = this.carriers.get(host);
    if (carriers === undefined) {
      carriers = new Carriers(host, options.scheduling);
      this.carriers.set(host, carriers);
    }
    return new WasmSandbox(options, host, carriers);
  }

  /** What is wrong with a module; '' if nothing is. */
  private async inspect(content: Buffer): Promise<string> {
    const runtime = await this.layOut();
    const name = `${this.kind}-check-${++this.checks}`;
    const directory = join(this.options.directory, name);
    const limits = { memoryMaxBytes: WASM.checkMemoryBytes, pidsMax: ISOLATE.hostThreads };
    const group = this.options.driver.create(name, { ...limits, cpus: this.options.housekeepingCores });
    try {
      mkdirSync(directory);
      makeOpenDirectory(directory);
      const { joinPaths } = group;
      const uid = WASM.firstUid + ISOLATE.uidCount;
      const launch = { uid, joinPaths, scheduling: 'default', directory, runtime } as const;
      const [shell, ...args] = launchCommand(launch, [
        runtime.nodeInside,
        ...permissionFlags(),
        CHECK_INSIDE,
        `${WASM.checkMemoryBytes}`,
      ]);
      return await answerOf(shell!, args, content);
    } finally {
      await group.remove();
      rmSync(directory, { recursive: true, force: true });
    }
  }
}

function answerOf(program: string, args: string[], input: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      stdio: 'pipe',
      cwd: '/',
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
      timeout: WASM.checkTimeoutMs,
      killSignal: 'SIGKILL',
    });
    const end = (): void => void child.kill('SIGKILL');
    const ends = { onViolation: end, onFault: end };
    const told = readLog(child.stdout, ends, () => {});
    const complaint = readLog(child.stderr, ends, () => {});
    // It may end before it has read all.
    child.stdin.on('error', () => {});
    child.once('error', reject);
    child.once('close', (code) => {
      const last = complaint.tail.trim().split('\n').at(-1)!;
      const ended = `compiling it took too much memory or time${last && `: ${last}`}`;
      resolve(code === 0 ? told.tail : ended);
    });
    child.stdin.end(input);
  });
}
