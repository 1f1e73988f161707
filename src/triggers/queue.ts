/**
 * Calls that wait until there is time for them. Each entry is called at least once: it stays until its call has ended, even
 * if the agent or the server dies meanwhile; one that fails too often is put aside. Each kind of queue is one file;
 * queue-source.ts makes the calls.
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
  /** Entries that others took longer ago than a call may last are taken over. */
  callMaxMs: number;
}

export interface Queue {
  /** Used in the ids of its calls. */
  readonly name: string;
  /**
   * What is to be called now, none if there is nothing; each is to be given back by `done` or `failed`. `more`: there may be
   * more at once. Rejects where the queue cannot be read: it has said so, and is to be asked again after a pause.
   */
  take(limits: TakeLimits): Promise<{ entries: QueueEntry[]; more: boolean }>;
  /** The call ended well. Resolves when the queue has taken that, or was stopped: then the entry is called again some time. */
  done(entry: QueueEntry, status: number, answer: Buffer): Promise<void>;
  /** The call failed, `why` is a message: the entry is called again later, or put aside if it failed too often. */
  failed(entry: QueueEntry, why: string): Promise<void>;
  /** The call was not made, as the box is stopping. */
  dropped(entry: QueueEntry): void;
  /** Gives no more entries from now on. It waits for calls only: a server that is away never answers. */
  stop(): void;
  /** After `stop`, when calls have ended or their outcome no longer matters. */
  close(): void;
}
