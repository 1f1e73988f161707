/**
 * A worker thread that runs the functions of a process, one at a time. The sandbox that it serves now *occupies* it:
 * the thread is in that sandbox's cgroup, so it is pinned, throttled, frozen and accounted as that sandbox, and its
 * calls are the only ones. Others that had it before have their modules and instances still there, and cost nothing
 * but that memory until they have it again.
 */

import type { Socket } from 'node:net';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import { setScheduling } from '../../linux/sched.js';
import type { NemoError } from '../../model/errors.js';
import type { FunctionScheduling } from '../../policy/harvest/policies.js';
import { KEEPS_INSTANCE } from '../../runner/frames.js';
import type { Channel } from '../../sandbox/channel.js';
import { Deferred, startError } from '../../sandbox/ends.js';
import type { Valve } from '../../streams/valve.js';
import { ISOLATE, WASM } from '../../tunables/index.js';
import type { IsolateHost } from '../isolate/host.js';
import type { ThreadEnd } from '../isolate/thread-end.js';
import type { ThreadOwner } from '../isolate/thread-owner.js';
import { REHEARSAL } from './rehearsal.js';

export type PoolThreadEnd = ThreadEnd & { violation: string };

/** What a sandbox is to the thread that it occupies. */
export interface ThreadOccupant {
  readonly cgroup: Cgroup;
  /** Nothing of it runs or is being loaded: another may take the thread. */
  readonly idle: boolean;
  onLoaded(keeps: boolean): void;
  onLoadFailed(error: NemoError): void;
  onWanted(): void;
  onLog(stream: number, text: Buffer, valve: Valve): void;
  onMemory(kib: number): void;
  /** What it did could not be handled. */
  onFault(error: NemoError): void;
  onThreadEnded(end: PoolThreadEnd): void;
}

export class PoolThread implements ThreadOwner {
  readonly memoryBytes = WASM.heapBytes;
  channel!: Channel;
  occupant: ThreadOccupant | undefined;
  /** Of all threads, the one with the smallest was used least recently. */
  usedAt = 0;
  ended = false;
  /** Functions that it holds, by number. */
  readonly residents = new Set<number>();
  private threadId = '';
  private tid = 0;
  private socket!: Socket;
  private violation = '';
  private giveUpTimer: NodeJS.Timeout | undefined;
  private readonly gone = new Deferred();

  constructor(
    private readonly host: IsolateHost,
    private readonly scheduling: FunctionScheduling,
    private readonly onEnded: (thread: PoolThread, end: PoolThreadEnd) => void,
    /** Resolves when nothing of the sandboxes that it could serve is left. */
    private readonly served: () => Promise<unknown>,
  ) {}

  /** Resolves when a function can be loaded. Rejects with SANDBOX_START; nothing is left of it then. */
  async start(): Promise<void> {
    const { id, connected } = await this.host.spawn(this);
    this.threadId = id;
    this.channel = connected.channel;
    this.socket = connected.socket;
    this.tid = connected.tid;
    // Ours alone until somebody occupies it: what starting costs is counted to no function.
    this.host.park(this.tid);
    if (this.scheduling === 'idle') setScheduling(this.tid, { policy: 'idle' });
    await Promise.race([this.channel.rehearse('', REHEARSAL), this.gone.promise]);
    if (this.ended) throw startError(id, 'its thread ended');
  }

  get free(): boolean {
    return (
      !this.ended && this.giveUpTimer === undefined && (this.occupant === undefined || this.occupant.idle)
    );
  }

  /** Resolves when nothing is left that would keep its process's groups. */
  get exited(): Promise<unknown> {
    return this.served();
  }

  /** Puts the thread into the sandbox's group. Only while it is free. */
  admit(occupant: ThreadOccupant): void {
    if (this.occupant === occupant) return;
    occupant.cgroup.adoptThread(this.tid);
    this.occupant = occupant;
  }

  /** The function of that number will not be called any more. */
  forget(number: number, occupant: ThreadOccupant): void {
    if (this.ended) return;
    if (this.occupant === occupant) {
      this.occupant = undefined;
      this.host.park(this.tid);
    }
    if (this.residents.delete(number)) this.channel.forget(number);
  }

  /** Ends the thread, on which nobody runs anything. */
  retire(): void {
    this.occupant = undefined;
    // Its occupant may end before it does, and takes its group with it.
    this.host.park(this.tid);
    this.end();
  }

  /** Ends the thread, whatever it does, and with it the calls of its occupant. */
  end(): void {
    if (this.giveUpTimer !== undefined || this.ended) return;
    const giveUpMs = performance.now() + ISOLATE.endPatienceMs;
    this.host.end(this.threadId);
    const look = (): void => {
      this.release();
      if (performance.now() > giveUpMs) void this.host.kill();
    };
    this.giveUpTimer = setInterval(look, ISOLATE.releasePeriodMs);
    look();
  }

  /** Frozen or without time, it could not even end. */
  release(): void {
    try {
      this.occupant?.cgroup.release();
    } catch {
      // The group is gone.
    }
  }

  onLoaded(kind: number): void {
    this.occupant?.onLoaded(kind === KEEPS_INSTANCE);
  }

  onLoadFailed(error: NemoError): void {
    this.occupant?.onLoadFailed(error);
  }

  onWanted(): void {
    this.occupant?.onWanted();
  }

  onLog(stream: number, text: Buffer, valve: Valve): void {
    this.occupant?.onLog(stream, text, valve);
  }

  onMemory(kib: number): void {
    this.occupant?.onMemory(kib);
  }

  onViolation(reason: string): void {
    if (this.violation === '') this.violation = reason;
    this.end();
  }

  onFault(error: NemoError): void {
    this.occupant?.onFault(error);
    this.end();
  }

  onThreadEnded(end: ThreadEnd): void {
    this.ended = true;
    clearInterval(this.giveUpTimer);
    this.socket?.destroy();
    const { occupant } = this;
    const told = { ...end, violation: this.violation };
    occupant?.onThreadEnded(told);
    this.occupant = undefined;
    this.onEnded(this, told);
    this.gone.resolve();
  }
}
