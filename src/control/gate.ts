/**
 * The main thread's side of a slice gate: starts its three threads, tells it which sandboxes are on its core. A gate
 * that the host refuses ends by itself and says why; the core is then not harvested.
 */

import { EventEmitter, once } from 'node:events';
import { dirname } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { CgroupHandle } from '../linux/cgroup/driver.js';
import type { Board } from './board.js';
import {
  type FromGate,
  GATE_WORDS_BYTES,
  type GateData,
  type GateSandbox,
  type ToGate,
} from './gate-messages.js';

export interface GateOptions {
  core: number;
  gateCore: number;
  board: Board;
  slots: SharedArrayBuffer;
  nfPid: number;
}

const SMALL = { maxOldGenerationSizeMb: 32, maxYoungGenerationSizeMb: 2 };

export class Gate extends EventEmitter<{ turned: [boolean, number]; failed: [string] }> {
  private readonly lender: Worker;
  private readonly donor: Worker;
  private readonly nudge: Worker;
  private stopped = false;

  constructor(readonly options: GateOptions) {
    super();
    const workerData: GateData = {
      core: options.core,
      gateCore: options.gateCore,
      board: options.board.shared,
      slots: options.slots,
      words: new SharedArrayBuffer(GATE_WORDS_BYTES),
      nfPid: options.nfPid,
    };
    const start = (file: string, name: string): Worker =>
      new Worker(new URL(file, import.meta.url), { workerData, name, resourceLimits: SMALL });
    this.donor = start('./gate-donor.js', 'nemo-gate-donor');
    this.nudge = start('./gate-nudge.js', 'nemo-gate-nudge');
    this.lender = start('./gate-thread.js', 'nemo-gate');
    this.lender.on('message', (message: FromGate) => {
      if (message.kind === 'turned') this.emit('turned', message.open, message.sliceUs);
      if (message.kind === 'refused') this.emit('failed', message.reason);
    });
    for (const worker of [this.donor, this.nudge, this.lender]) {
      worker.on('error', (error) => this.emit('failed', error.message));
    }
  }

  setSandboxes(sandboxes: GateSandbox[]): void {
    this.tell({ kind: 'sandboxes', sandboxes });
  }

  private tell(message: ToGate): void {
    if (!this.stopped) this.lender.postMessage(message);
  }

  async stop(): Promise<void> {
    if (this.stopped) return;
    const ended = Promise.all([this.lender, this.donor, this.nudge].map((worker) => once(worker, 'exit')));
    this.tell({ kind: 'stop' });
    this.stopped = true;
    await ended;
  }
}

/** File that lists the threads of a group. */
export function tasksPath(handle: CgroupHandle): string {
  return `${dirname(handle.cpuUsagePath)}/${handle.version === 'v1' ? 'tasks' : 'cgroup.threads'}`;
}
