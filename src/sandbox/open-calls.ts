/**
 * The calls that a sandbox was sent and has not answered: their frames become the answers to their callers. A frame that
 * makes no sense at this point of its call is refused, and while a caller is slow to read, nothing more is read from
 * the sandbox.
 */

import type { NemoError } from '../model/errors.js';
import { type FrameHeader, FrameType } from '../runner/frames.js';
import type { LentRead } from '../streams/lent-bytes.js';
import type { Valve } from '../streams/valve.js';
import { CHANNEL, GATEWAY_HTTP } from '../tunables/index.js';
import type { SandboxReply } from './engine.js';
import { type Endings, holdUntilDrained, settleAll } from './guarded.js';
import { headersOf, isStatus, parseHeaders } from './reports.js';
import { callError } from './told-errors.js';
import type { UnreadCalls } from './unread-calls.js';

interface OpenCall {
  reply: SandboxReply;
  /** Of all frames to the sandbox, up to the end of this call's. */
  sentBytes: number;
  headSent: boolean;
  /** Its reader has left, and a cancel was sent. */
  cancelled: boolean;
  /** Chunks since its reader had none left to take. */
  unreadChunks: number;
  /** Nothing is read until its reader has taken what there is. */
  held: boolean;
}

export interface OpenCallsOptions {
  endings: Endings;
  /** Of what the sandbox sends. */
  valve: Valve;
  lent: LentRead;
  /** Sends the runner that nobody waits for this call. */
  cancel: (id: number) => void;
  /** A call has its whole answer. */
  onAnswered: (() => void) | undefined;
  unread: UnreadCalls;
}

export class OpenCalls {
  /** Calls sent and not ended, oldest first. */
  private readonly open = new Map<number, OpenCall>();

  constructor(private readonly options: OpenCallsOptions) {}

  get size(): number {
    return this.open.size;
  }

  has(id: number): boolean {
    return this.open.has(id);
  }

  get(id: number): OpenCall | undefined {
    return this.open.get(id);
  }

  add(id: number, reply: SandboxReply, sentBytes: number): void {
    this.open.set(id, { reply, sentBytes, headSent: false, cancelled: false, unreadChunks: 0, held: false });
  }

  /** Cancels those whose callers are gone. */
  callersLeft(): void {
    for (const [id, call] of this.open) if (call.reply.gone) this.cancel(id, call);
  }

  /** A stream without an end would otherwise run, for nobody, until its time is up. */
  private cancel(id: number, call: OpenCall): void {
    if (call.cancelled) return;
    call.cancelled = true;
    this.options.cancel(id);
  }

  /** Ends all; `errorFor` gets the place of the call in their order, and their number. */
  endAll(errorFor: (index: number, count: number) => NemoError): void {
    const calls = [...this.open.values()];
    this.open.clear();
    settleAll(calls.entries(), ([i, { reply }]) => reply.onError(errorFor(i, calls.length)));
  }

  /** Ends those that were sent after the call `begunId`. */
  endAfter(begunId: number, error: () => NemoError): void {
    const waiting = [...this.open].filter(([id]) => ((id - begunId) | 0) > 0);
    for (const [id] of waiting) this.open.delete(id);
    settleAll(waiting, ([, { reply }]) => reply.onError(error()));
  }

  /** Takes a frame of `call`. False if it makes no sense at this point. */
  take(call: OpenCall, header: FrameHeader, meta: Buffer, body: Buffer, functionName: string): boolean {
    const { reply } = call;
    switch (header.type) {
      case FrameType.reply:
        if (call.headSent) return false;
        reply.onHead(200, headersOf(header.kind, body));
        if (body.length > 0) reply.onChunk(body);
        // Only now: a call whose reader threw gets the error with which its sandbox ends.
        this.open.delete(header.callId);
        reply.onEnd();
        this.options.onAnswered?.();
        this.options.unread.answered(call.sentBytes);
        return true;
      case FrameType.head: {
        const headers = parseHeaders(meta);
        if (call.headSent || headers === undefined || !isStatus(header.status)) return false;
        call.headSent = true;
        reply.onHead(header.status, headers);
        return true;
      }
      case FrameType.chunk:
        if (!call.headSent) return false;
        if (body.length > 0) reply.onChunk(body, this.options.lent.lend(body));
        if (reply.gone) this.cancel(header.callId, call);
        else this.holdBack(call);
        return true;
      case FrameType.end:
        if (!call.headSent) return false;
        this.open.delete(header.callId);
        reply.onEnd();
        this.options.onAnswered?.();
        this.options.unread.answered(call.sentBytes);
        return true;
      case FrameType.error:
        this.open.delete(header.callId);
        reply.onError(callError(functionName, meta));
        this.options.unread.answered(call.sentBytes);
        return true;
      default:
        return false;
    }
  }

  /**
   * While a reader is behind, nothing more is read from this sandbox. Calls that share the sandbox wait too; their
   * memory is the agent's, which is worth more.
   */
  private holdBack(call: OpenCall): void {
    const { backlogBytes = 0 } = call.reply;
    if (backlogBytes === 0) call.unreadChunks = 0;
    else call.unreadChunks++;
    if (backlogBytes <= GATEWAY_HTTP.backlogPauseBytes && call.unreadChunks <= CHANNEL.unreadChunksMax)
      return;
    const { valve, endings } = this.options;
    if (holdUntilDrained(call, valve, endings)) call.unreadChunks = 0;
  }
}
