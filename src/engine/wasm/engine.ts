/**
 * The `wasm` engine: WebAssembly modules with WASI preview 1. Threads, processes and sharing groups as in the `isolate`
 * engine; within a thread, a module reaches its own memory and what preview 1 gives it, which is no file and no
 * socket. A module is looked at in a sandbox of its own at deploy, never by the agent.
 */

import { answerOf } from '../../confinement/confined/confined.js';
import { NemoError } from '../../model/errors.js';
import type { PrepareRequest, StartOptions } from '../../sandbox/engine.js';
import { WASM } from '../../tunables/index.js';
import { IsolateEngine, type IsolateEngineOptions, inOneFrame } from '../isolate/engine.js';
import type { IsolateHost } from '../isolate/host.js';
import { WASM_PROGRAM } from '../isolate/runtime.js';
import { WasmSandbox } from './sandbox.js';
import { ThreadPool } from './thread-pool.js';

export class WasmEngine extends IsolateEngine<'wasm'> {
  override readonly kind = 'wasm';
  protected override readonly program = WASM_PROGRAM;
  private readonly threads = new WeakMap<IsolateHost, ThreadPool>();

  constructor(options: IsolateEngineOptions) {
    super(options, WASM.firstUid);
  }

  override async prepare({ source, asker }: PrepareRequest<'wasm'>): Promise<Buffer> {
    const { content, filename } = source;
    const stored = inOneFrame(content, filename);
    const outcome = await this.options.confined.run({
      program: 'wasm',
      args: [`${WASM.checkMemoryBytes}`],
      input: content,
      outputMaxBytes: WASM.complaintMaxBytes,
      asker,
    });
    const wrong = answerOf(outcome, (why) => unfit(filename, `compiling it ${why}`)).toString();
    if (wrong !== '') throw unfit(filename, wrong);
    return stored;
  }

  protected override sandboxOn(host: IsolateHost, options: StartOptions): WasmSandbox {
    let threads = this.threads.get(host);
    if (threads === undefined) {
      threads = new ThreadPool(host, options.scheduling);
      this.threads.set(host, threads);
    }
    return new WasmSandbox(options, host, threads);
  }
}

function unfit(filename: string, why: string): NemoError {
  return new NemoError('BAD_FUNCTION', `${filename} is not a module that can be run: ${why}`, {
    hint: 'export memory and _start (a WASI command), or memory, alloc and handle; import from wasi_snapshot_preview1 only',
  });
}
