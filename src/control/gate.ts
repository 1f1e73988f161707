/**
 * The main thread's side of a slice gate: starts its two threads and tells the donor which sandboxes are on its core.
 * A gate that the host refuses reports why and ends; the core is then not harvested.
 */

import { EventEmitter } from 'node:events';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CgroupHandle } from '../linux/cgroup/driver.js';
import { type Board, Core } from '../model/board.js';
import {
  type FromGate,
  GATE_WORDS_BYTES,
  type GateData,
  type GateSandbox,
  GateWord,
  type ToDonor,
} from './gate-messages.js';

export interface GateOptions {
  /** The polling NF's core. */
  core: number;
  /** Where the donor runs. */
  donorCore: number;
  board: Board;
  slots: SharedArrayBuffer;
  nfPid: number;
}

const SMALL = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };

export class Gate extends EventEmitter<{ ready: []; failed: [string] }> {
  private readonly words = new Int32Array(new SharedArrayBuffer(GATE_WORDS_BYTES));
  private readonly workers: readonly Worker[];
  private readonly ended: Promise<unknown>;
  private ready = 0;
  private over = false;

  constructor(readonly options: GateOptions) {
    super();
    const workerData: GateData = {
      core: options.core,
      donorCore: options.donorCore,
      board: options.board.shared,
      slots: options.slots,
      words: this.words.buffer as SharedArrayBuffer,
      nfPid: options.nfPid,
    };
    this.workers = [
      ['./gate-donor.js', 'nemo-gate-donor'] as const,
      ['./gate-thread.js', 'nemo-gate'] as const,
    ].map(([file, name]) => {
      const worker = new Worker(new URL(file, import.meta.url), { workerData, name, resourceLimits: SMALL });
      worker.on('message', (message: FromGate) => this.onMessage(message));
      worker.on('error', (error) => this.fail(error.message));
      return worker;
    });
    this.ended = Promise.all(
      this.workers.map((worker) => new Promise((resolve) => worker.once('exit', resolve))),
    );
  }

  setSandboxes(sandboxes: GateSandbox[]): void {
    const message: ToDonor = { kind: 'sandboxes', sandboxes };
    this.workers[0]!.postMessage(message);
  }

  private onMessage(message: FromGate): void {
    if (message.kind === 'refused') this.fail(message.reason);
    else if (++this.ready === this.workers.length) this.emit('ready');
  }

  private fail(reason: string): void {
    if (this.over) return;
    this.end();
    this.options.board.set(this.options.core, Core.gated, 0);
    this.emit('failed', reason);
  }

  private end(): void {
    this.over = true;
    Atomics.store(this.words, GateWord.stop, 1);
    for (const word of Object.values(GateWord)) {
      // Until the first message of the other side, nothing else is awaited.
      if (word === GateWord.gateTid || word === GateWord.donorTid) {
        Atomics.compareExchange(this.words, word, 0, -1);
      }
      Atomics.notify(this.words, word);
    }
  }

  /** Resolves when nothing is lent any more and the threads have ended. */
  async stop(): Promise<void> {
    if (!this.over) this.end();
    await this.ended;
  }
}

/** File that lists the threads of a group. */
export function tasksPath(handle: CgroupHandle): string {
  return `${dirname(handle.cpuUsagePath)}/${handle.version === 'v1' ? 'tasks' : 'cgroup.threads'}`;
}
