/**
 * The main thread's side of the control thread: starts it, sends it NFs and sandboxes, receives throttle levels.
 * Slots are the shared words that say which sandbox runs something now.
 */

import { EventEmitter, once } from 'node:events';
import { Worker } from 'node:worker_threads';
import type { CgroupHandle } from '../linux/cgroup/driver.js';
import { wakeAll } from '../linux/futex.js';
import { Board, Head } from '../model/board.js';
import { NemoError } from '../model/errors.js';
import type { LadderName } from '../policy/conflict/ladders.js';
import { type GateEvent, Gates } from './gates.js';
import {
  type ControlNf,
  type ControlThreadData,
  type FromControl,
  type NfStats,
  type PacketReaction,
  SLOT_COUNT,
  Slot,
  type ToControl,
} from './messages.js';
import type { SandboxSlots } from './sandbox-slots.js';

export interface ControlOptions {
  /** Highest core number + 1. */
  coreCount: number;
  controlCore: number;
  functionCores: number[];
  conflict: boolean;
  /** See BoxPolicy. */
  ladder: LadderName;
  predict: boolean;
  shareRatio: number | null;
  runningPerCore: number;
}

export interface CulpritEvent {
  core: number;
  slot: number;
  holdMs: number;
  cause: string;
  reactionUs: number;
  packet?: PacketReaction;
}

export interface LevelEvent {
  core: number;
  from: number;
  to: number;
  cause: string;
  reactionUs: number;
  packet?: PacketReaction;
  /** Slots of the sandboxes that ran when packets were late and it was throttled. */
  ran?: readonly number[];
}

/** Others began to take all of a function core, or left it. */
export interface TakenEvent {
  core: number;
  taken: boolean;
  othersRatio: number;
}

export class Control
  extends EventEmitter<{
    level: [LevelEvent];
    culprit: [CulpritEvent];
    'nf-stats': [NfStats[]];
    warning: [string];
    failed: [Error];
    gate: [GateEvent];
    taken: [TakenEvent];
  }>
  implements SandboxSlots
{
  readonly board: Board;
  private readonly slots = new Int32Array(new SharedArrayBuffer(SLOT_COUNT * 4));
  private readonly worker: Worker;
  private readonly gates: Gates;
  private readonly ended: Promise<unknown>;
  private free: number[] = [];
  private used = 0;
  private busy = 0;
  private stopping = false;

  private constructor(options: ControlOptions) {
    super();
    this.board = Board.create(options.coreCount);
    this.gates = new Gates(
      { donorCore: options.controlCore, board: this.board, slots: this.slots.buffer as SharedArrayBuffer },
      (event) => this.emit('gate', event),
    );
    const workerData: ControlThreadData = {
      board: this.board.shared,
      slots: this.slots.buffer as SharedArrayBuffer,
      controlCore: options.controlCore,
      functionCores: options.functionCores,
      conflict: options.conflict,
      ladder: options.ladder,
      predict: options.predict,
      shareRatio: options.shareRatio,
      runningPerCore: options.runningPerCore,
    };
    this.worker = new Worker(new URL('./control-thread.js', import.meta.url), {
      workerData,
      name: 'nemo-control',
      resourceLimits: { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 4 },
    });
    this.ended = new Promise((resolve) => this.worker.once('exit', resolve));
  }

  static async start(options: ControlOptions): Promise<Control> {
    const control = new Control(options);
    const [first] = (await once(control.worker, 'message')) as [FromControl];
    control.onMessage(first);
    control.worker.on('message', (message: FromControl) => control.onMessage(message));
    control.worker.on('error', (error) => control.emit('failed', error));
    control.worker.on('exit', () => {
      if (!control.stopping) control.emit('failed', new Error('the control thread ended'));
    });
    return control;
  }

  private onMessage(message: FromControl): void {
    switch (message.kind) {
      case 'level':
        this.emit('level', message);
        break;
      case 'culprit':
        this.emit('culprit', message);
        break;
      case 'nf-stats':
        this.emit('nf-stats', message.stats);
        break;
      case 'taken':
        this.emit('taken', message);
        break;
      case 'warning':
        this.emit('warning', message.message);
        break;
      case 'ready':
        break;
    }
  }

  private send(message: ToControl): void {
    this.worker.postMessage(message);
    wakeLoop(this.board.wakeWord);
  }

  setNfs(nfs: ControlNf[], barred: readonly number[] = []): void {
    this.gates.setNfs(nfs);
    this.send({ kind: 'nfs', nfs, barred });
  }

  /** Takes a slot for a new sandbox, marked busy: it is starting. Throws NO_CAPACITY when none is left. */
  addSandbox(core: number, handle: CgroupHandle): number {
    const slot = this.free.pop() ?? this.used++;
    if (slot >= SLOT_COUNT) {
      this.used--;
      throw new NemoError('NO_CAPACITY', `this box already runs ${SLOT_COUNT} sandboxes`);
    }
    Atomics.store(this.slots, slot, Slot.idle);
    this.setBusy(slot, true);
    this.gates.place(slot, core, handle);
    this.send({ kind: 'sandbox-add', slot, core, handle });
    return slot;
  }

  moveSandbox(slot: number, core: number): void {
    this.gates.move(slot, core);
    this.send({ kind: 'sandbox-move', slot, core });
  }

  removeSandbox(slot: number): void {
    this.setBusy(slot, false);
    Atomics.store(this.slots, slot, Slot.free);
    this.gates.remove(slot);
    this.send({ kind: 'sandbox-remove', slot });
    this.free.push(slot);
  }

  /** Marks whether a sandbox runs something. The first busy one brings the loop to its full rate. */
  setBusy(slot: number, busy: boolean): void {
    const before = Atomics.exchange(this.slots, slot, busy ? Slot.busy : Slot.idle);
    if ((before === Slot.busy) === busy) return;
    this.busy += busy ? 1 : -1;
    if (busy && this.busy === 1 && this.board.head(Head.activeWanted) === 0) {
      this.board.setHead(Head.activeWanted, 1);
      wakeLoop(this.board.wakeWord);
    }
  }

  /** Lets the loop slow down if nothing runs. Called now and then, so that a stream of short calls keeps it awake. */
  relax(): void {
    if (this.busy === 0) this.board.setHead(Head.activeWanted, 0);
  }

  /** Resolves when the thread has ended, also if it did so by itself. Idempotent. */
  async stop(): Promise<void> {
    this.stopping = true;
    await this.gates.stop();
    this.send({ kind: 'stop' });
    await this.ended;
  }
}

function wakeLoop(word: Int32Array): void {
  Atomics.add(word, 0, 1);
  wakeAll(word);
  // For a kernel that cannot wait for several words; see Sleeper.
  Atomics.notify(word, 0);
}
