/**
 * Calls that wait until somebody has time for them. Each entry is called at least once: it stays until its call has ended,
 * whatever dies meanwhile; one that fails too often is put aside. A kind is a file; queue-source.ts makes the calls.
 */

export interface QueueEntry {
  readonly id: string;
  /** The call that it makes. Throws BODY_TOO_LARGE. */
  call(): { body: Buffer; headers: Record<string, string> };
  /** What it takes in memory. */
  readonly bytes: number;
}

export interface TakeLimits {
  /** Entries at most. */
  places: number;
  /** Bytes of all of them at most. */
  roomBytes: number;
  /** What others took longer ago than a call may last is taken over. */
  callMaxMs: number;
}

export interface Queue {
  /** In the ids of its calls. */
  readonly name: string;
  /**
   * What is to be called now, none if there is nothing; each is to be given back by `done` or `failed`. `more`: there may be
   * more at once. Rejects where the queue cannot be read: it has said so, and is to be asked again after a pause.
   */
  take(limits: TakeLimits): Promise<{ entries: QueueEntry[]; more: boolean }>;
  /** The call ended well. Resolves when the queue has taken that, or was stopped: then the entry is called again some time. */
  done(entry: QueueEntry, status: number, answer: Buffer): Promise<void>;
  /** The call failed, `why` in words: it is called again later, or put aside if that was often enough. */
  failed(entry: QueueEntry, why: string): Promise<void>;
  /** The call was not made, as the box is stopping. */
  dropped(entry: QueueEntry): void;
  /** Gives nothing more from now on. Nothing but calls is waited for: a server that is away never answers. */
  stop(): void;
  /** After `stop`, when calls have ended or their outcome no longer matters. */
  close(): void;
}
