/**
 * What the limits of all sandboxes come to, and room for one more. A sandbox counts from the moment in which it is decided
 * that it is made: others are decided upon while it starts.
 */

import type { StemKind } from '../engine/engines.js';
import { ALONE } from '../engine/sharing.js';
import { NemoError } from '../model/errors.js';
import { type Commitment, committedBytes } from '../policy/admission/capacity.js';
import { POOL } from '../tunables/index.js';
import type { Instance } from './instance.js';

export interface MemoryRoomOptions {
  instances: ReadonlyMap<string, Instance>;
  /** Most that the limits of all sandboxes may come to; undefined: no bound. */
  memoryMaxBytes: number | undefined;
  /** Most that the process of several sandboxes may have. */
  shareMaxBytes: number;
  /** What limits have beyond a function's own, by kind of engine: for each sandbox, and for its process. */
  ownBytes: (engine: string) => { sandbox: number; process: number };
  /** What the host could give now. */
  availableBytes: () => number;
  /** Ends idle sandboxes until nothing is lacking for one of so many bytes, as far as there are any. */
  makeRoom: ((bytes: number, kind?: StemKind) => Promise<void>) | undefined;
}

export class MemoryRoom {
  /** Kinds of engine whose sandboxes share a process with others of the same variant. */
  readonly sharing = new Set<string>();
  /** Sandboxes that are about to be made, and who makes room for the next one. */
  private readonly reserved = new Set<Commitment>();
  private makingRoom: Promise<void> = Promise.resolve();

  constructor(private readonly options: MemoryRoomOptions) {}

  /** How much has to be freed before a sandbox with a limit of so many bytes can be made; 0 or less: nothing. */
  lackingBytes(bytes: number, kind?: StemKind): number {
    const { memoryMaxBytes, availableBytes } = this.options;
    const onHost = availableBytes() - POOL.reserveBytes;
    const underCap =
      memoryMaxBytes === undefined ? Number.NEGATIVE_INFINITY : this.committed(bytes, kind) - memoryMaxBytes;
    return Math.max(underCap, Math.min(bytes, POOL.residentBytes) - onHost);
  }

  /** What all limits come to, with one more sandbox of so many bytes. */
  private committed(bytes: number, kind?: StemKind): number {
    const commitments: Commitment[] = [this.commitment(bytes, kind), ...this.reserved];
    for (const { state, memoryBytes, stemKind } of this.options.instances.values())
      if (state !== 'ending') commitments.push(this.commitment(memoryBytes, stemKind));
    return committedBytes(commitments, this.options.shareMaxBytes);
  }

  /** What all sandboxes count for now. */
  get committedBytes(): number {
    return this.committed(0);
  }

  /** A function can fill all of its limit, also what the engine has there for itself. */
  private commitment(bytes: number, kind?: StemKind): Commitment {
    if (kind === undefined) return { bytes, processBytes: 0, share: undefined };
    const { sandbox, process } = this.options.ownBytes(kind.engine);
    return { bytes: bytes + sandbox, processBytes: process, share: this.shareOf(kind) };
  }

  /** Names the process that such a sandbox shares with others, if it does. */
  private shareOf({ engine, variant }: StemKind): string | undefined {
    return this.sharing.has(engine) && variant !== ALONE ? `${engine}:${variant}` : undefined;
  }

  /** What ending everything that serves nothing would give. */
  evictableBytes(): number {
    let bytes = 0;
    for (const { state, idle, memoryBytes, stemKind } of this.options.instances.values()) {
      if (!(state === 'warm' && idle) && state !== 'stem') continue;
      const { bytes: own, processBytes, share } = this.commitment(memoryBytes, stemKind);
      bytes += share === undefined ? own + processBytes : own;
    }
    return bytes;
  }

  /**
   * Takes memory for a sandbox that is about to be made, until `release`. Rejects with NO_CAPACITY. For calls, one after
   * the other makes room where there is none: each would otherwise take what another freed.
   */
  async reserve(bytes: number, kind: StemKind, forCall: boolean): Promise<Commitment> {
    if (!forCall || this.lackingBytes(bytes, kind) <= 0) return this.reserveNow(bytes, kind);
    const before = this.makingRoom;
    let done!: () => void;
    this.makingRoom = new Promise((resolve) => {
      done = resolve;
    });
    await before;
    try {
      await this.options.makeRoom?.(bytes, kind);
      return this.reserveNow(bytes, kind);
    } finally {
      done();
    }
  }

  /** Its instance counts from now on, or it is not made. */
  release(reserved: Commitment): void {
    this.reserved.delete(reserved);
  }

  private reserveNow(bytes: number, kind: StemKind): Commitment {
    if (this.lackingBytes(bytes, kind) > 0) {
      throw new NemoError('NO_CAPACITY', 'too little memory is available for another sandbox', {
        hint: 'remove functions that are not needed, lower their memory, or set pool.memory or pool.overcommit',
      });
    }
    const commitment = this.commitment(bytes, kind);
    this.reserved.add(commitment);
    return commitment;
  }
}
