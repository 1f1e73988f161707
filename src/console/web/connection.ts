/**
 * Keeps the feed alive: opens it, notices silence, and opens it again with growing pauses. A socket that looks open
 * but says nothing (a stopped agent, a cut cable) counts as lost as well: the browser would not tell for minutes.
 * No DOM in here: the socket, the clock and chance are handed in, and the tests hand in their own.
 */

import { FEED_SCHEMA, type FeedFrame } from '../../model/feed.js';

/** The feed comes every 100 ms; the loss has to show within 2 s. */
export const SILENCE_MS = 1_500;
/** A connect that neither succeeds nor fails is given up after this. */
export const CONNECT_TIMEOUT_MS = 4_000;
const BACKOFF_FIRST_MS = 250;
export const BACKOFF_MAX_MS = 5_000;

export interface LinkStatus {
  /** `foreign`: something answers, but not in this page's schema. */
  state: 'connecting' | 'live' | 'lost' | 'foreign';
  /** When the state began, milliseconds of the deps' clock. */
  sinceMs: number;
  /** When the next try is due; null while connected or trying. */
  retryAtMs: number | null;
  /** Why it is not live, a sentence about the agent without its full stop; empty while it is live. */
  reason: string;
  /** Messages that were no frame, ever. */
  malformed: number;
}

export interface FeedSocket {
  close(): void;
}

export interface SocketHandlers {
  onMessage(text: string): void;
  /** Once, when the socket failed or ended. */
  onEnd(): void;
}

export interface ConnectionDeps {
  open(handlers: SocketHandlers): FeedSocket;
  nowMs(): number;
  /** Calls back once after `delayMs`; returns the way to cancel. */
  after(delayMs: number, callback: () => void): () => void;
  /** 0 (inclusive) to 1. */
  random(): number;
}

export interface ConnectionListener {
  /** `first`: the first frame of this connection; the sequence before it says nothing about lost frames. */
  onFrame(frame: FeedFrame, first: boolean): void;
  onStatus(status: LinkStatus): void;
}

/** Pause before try number `attempt` (from 0): doubles up to the cap, +-20 % so that many pages do not come at once. */
export function backoffMs(attempt: number, random: number): number {
  const plainMs = Math.min(BACKOFF_MAX_MS, BACKOFF_FIRST_MS * 2 ** Math.min(attempt, 10));
  return Math.round(plainMs * (0.8 + 0.4 * random));
}

export class Connection {
  private socket: FeedSocket | undefined;
  private cancelTimer: () => void = () => {};
  private attempt = 0;
  private first = true;
  private lastFrameMs = 0;
  private newest = { seq: -1, timeMs: -1 };
  private status: LinkStatus;

  constructor(
    private readonly deps: ConnectionDeps,
    private readonly listener: ConnectionListener,
  ) {
    this.status = {
      state: 'connecting',
      sinceMs: deps.nowMs(),
      retryAtMs: null,
      reason: 'It has not answered yet',
      malformed: 0,
    };
  }

  start(): void {
    this.open();
  }

  /** Does not wait for the pause to end. No effect while connected. */
  retryNow(): void {
    if (this.status.retryAtMs !== null) this.open();
  }

  stop(): void {
    this.cancelTimer();
    const socket = this.socket;
    this.socket = undefined;
    socket?.close();
  }

  private open(): void {
    this.stop();
    this.first = true;
    this.change({ retryAtMs: null });
    // Handlers of an abandoned socket must not speak for the new one.
    const isCurrent = () => this.socket === socket;
    const socket: FeedSocket = this.deps.open({
      onMessage: (text) => isCurrent() && this.receive(text),
      onEnd: () => isCurrent() && this.lose('It ended or cannot be reached'),
    });
    this.socket = socket;
    this.cancelTimer = this.deps.after(CONNECT_TIMEOUT_MS, () => this.lose('It does not answer'));
  }

  private receive(text: string): void {
    const frame = parseFrame(text);
    if (frame === undefined) {
      this.change({ malformed: this.status.malformed + 1 });
      return;
    }
    if (frame.schema !== FEED_SCHEMA) {
      this.lose(`It speaks "${String(frame.schema)}", this page "${FEED_SCHEMA}"`, 'foreign');
      return;
    }
    // A gateway whose feed stands still greets a new reader with the frame that is known already.
    const { seq, timeMs } = frame as FeedFrame;
    if (seq === this.newest.seq && timeMs === this.newest.timeMs) return;
    this.newest = { seq, timeMs };
    this.lastFrameMs = this.deps.nowMs();
    if (this.first) {
      this.attempt = 0;
      this.cancelTimer();
      this.watch(SILENCE_MS);
    }
    if (this.status.state !== 'live') this.change({ state: 'live', reason: '' });
    const first = this.first;
    this.first = false;
    this.listener.onFrame(frame as FeedFrame, first);
  }

  /** One timer that re-arms itself for what is left, rather than one timer per frame. */
  private watch(delayMs: number): void {
    this.cancelTimer = this.deps.after(delayMs, () => {
      const silentMs = this.deps.nowMs() - this.lastFrameMs;
      if (silentMs >= SILENCE_MS) this.lose('It went silent');
      else this.watch(SILENCE_MS - silentMs);
    });
  }

  private lose(reason: string, state: 'lost' | 'foreign' = 'lost'): void {
    this.stop();
    const pauseMs = backoffMs(this.attempt++, this.deps.random());
    this.change({ state, reason, retryAtMs: this.deps.nowMs() + pauseMs });
    this.cancelTimer = this.deps.after(pauseMs, () => this.open());
  }

  private change(part: Partial<LinkStatus>): void {
    const began = part.state !== undefined && part.state !== this.status.state;
    this.status = { ...this.status, ...part, ...(began ? { sinceMs: this.deps.nowMs() } : {}) };
    this.listener.onStatus(this.status);
  }
}

/** Undefined unless it has the outline of a frame; a frame of another schema is let through for its name. */
function parseFrame(text: string): { schema: unknown } | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null || !('schema' in value)) return undefined;
  if (value.schema !== FEED_SCHEMA) return value;
  const frame = value as Partial<FeedFrame>;
  const whole =
    Number.isFinite(frame.seq) &&
    Number.isFinite(frame.timeMs) &&
    typeof frame.agent === 'object' &&
    [frame.cores, frame.nfs, frame.functions, frame.events].every(Array.isArray);
  return whole ? value : undefined;
}
