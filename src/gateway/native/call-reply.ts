/**
 * The sink of one HTTP call: turns what a function says into one HTTP answer.
 *
 *   head -> [held] -> end                 one write: Content-Length, duration and start kind in the head
 *   head -> [held] -> second chunk,       streamed: with the length that the function told, or
 *                     or a turn passed    chunked and the duration as a trailer
 *
 * The head is held because an ordinary answer arrives whole in one turn, and then its length is known.
 */

import type { ServerResponse } from 'node:http';
import type { CallTimeline, StartKind } from '../../model/call.js';
import { NemoError } from '../../model/errors.js';
import type { GiveBack, ReplySink } from '../../model/reply-sink.js';
import { GATEWAY_HTTP } from '../../tunables/index.js';
import type { Awaited, Caller } from '../callers.js';
import { sendError } from '../error-reply.js';
import { appendReplyHeaders } from '../headers.js';
import type { Shares } from '../shares.js';

/** Answers whose held parts go out at the end of this turn, unless they ended before. */
let held: CallReply[] = [];

function flushHeld(): void {
  const replies = held;
  held = [];
  for (const reply of replies) reply.flushIfHeld();
}

/** What is the same for all calls that come to one origin. */
export interface CallPlace {
  /** The origin is that of API and console, too. */
  shared: boolean;
  /** Bodies of all requests that are not answered yet. */
  bodies: Shares;
}

export class CallReply implements ReplySink, Awaited {
  private status = 0;
  private headers: Record<string, string> | undefined;
  private start: StartKind | undefined;
  private firstChunk: Buffer | undefined;
  private firstSent: GiveBack | undefined;
  private queued = false;
  private streaming = false;
  /** What is streamed is a head alone, whatever the function gives for a body (RFC 9110, 9.3.2, 15.3.5, 15.3.6, 15.4.5). */
  private bodiless = false;
  /** Of a length that was told, what is still to come. */
  private missingBytes: number | undefined;
  private ended = false;
  failure: NemoError | undefined;
  private onLeft: (() => void) | undefined;

  /** `bodyBytes`: of its body, in the budget of all until the call has ended. */
  constructor(
    private readonly response: ServerResponse,
    private readonly functionName: string,
    private readonly callId: string,
    private readonly place: CallPlace,
    private readonly caller: Caller,
    private bodyBytes: number,
  ) {
    caller.waitsFor(this);
  }

  get gone(): boolean {
    return this.failure !== undefined || this.response.destroyed || this.response.req.socket.destroyed;
  }

  whenLeft(left: () => void): void {
    this.onLeft = left;
    if (this.gone) left();
  }

  left(): void {
    if (!this.ended) this.onLeft?.();
  }

  probe(): boolean {
    const { response } = this;
    if (this.streaming || response.req.httpVersionMinor === 0) return false;
    response.writeContinue();
    return true;
  }

  get backlogBytes(): number {
    return this.response.writableLength;
  }

  whenDrained(resume: () => void): void {
    const { response } = this;
    if (response.destroyed || !response.writableNeedDrain) {
      setImmediate(resume);
      return;
    }
    const once = (): void => {
      response.off('drain', once);
      response.off('close', once);
      resume();
    };
    response.on('drain', once);
    response.on('close', once);
  }

  onHead(status: number, headers: Record<string, string>, start?: StartKind): void {
    this.status = status;
    this.headers = headers;
    this.start = start;
    this.hold();
  }

  onChunk(chunk: Buffer, sent?: GiveBack): void {
    if (this.ended || this.response.destroyed) return;
    if (!this.streaming) {
      if (this.firstChunk === undefined) {
        this.firstChunk = chunk;
        this.firstSent = sent;
        return;
      }
      if (!this.startStream()) return;
    }
    // A client that does not read: all that it waits for on this connection ends.
    if (this.response.writableLength > GATEWAY_HTTP.backlogMaxBytes) this.response.req.socket.destroy();
    else this.send(chunk, sent);
  }

  private send(chunk: Buffer, sent: GiveBack | undefined): void {
    if (this.bodiless) {
      sent?.();
      return;
    }
    if (this.missingBytes !== undefined) {
      this.missingBytes -= chunk.length;
      if (this.missingBytes < 0) {
        this.fail(this.otherLength(), undefined);
        return;
      }
    }
    this.response.write(chunk, sent);
  }

  onEnd(timeline: CallTimeline): void {
    this.over();
    if (this.ended) return;
    if (this.missingBytes) {
      this.fail(this.otherLength(), timeline);
      return;
    }
    this.settle();
    if (this.missingBytes !== undefined) this.response.end();
    else if (this.streaming) {
      this.response.addTrailers({ 'X-Duration-Seconds': durationS(timeline) });
      this.response.end();
    } else if (!this.response.destroyed) {
      this.answerWhole(timeline);
    }
  }

  private settle(): void {
    this.ended = true;
    this.caller.heard(this);
  }

  /** Nobody has its body any more. */
  over(): void {
    this.place.bodies.give(this.response.req.socket, this.bodyBytes);
    this.bodyBytes = 0;
  }

  onError(error: NemoError, timeline: CallTimeline | undefined, goesOn = false): void {
    if (!goesOn) this.over();
    if (this.ended) return;
    this.settle();
    // A stream that broke off must not look complete: the connection ends without the last chunk.
    if (this.streaming) this.response.destroy();
    else sendError(this.response, error, this.ownHeaders(timeline));
  }

  /** Nothing of what the function says can be given on: its call goes on to its end, unheard. */
  private fail(error: NemoError, timeline: CallTimeline | undefined): void {
    this.failure = error;
    this.onError(error, timeline, true);
  }

  /** Sends what is held when the function has not ended in the turn in which it began to answer. */
  flushIfHeld(): void {
    this.queued = false;
    if (!this.ended && !this.streaming && !this.response.destroyed) this.startStream();
  }

  private hold(): void {
    if (this.queued) return;
    this.queued = true;
    if (held.push(this) === 1) setImmediate(flushHeld);
  }

  private answerWhole(timeline: CallTimeline): void {
    const { response, status, firstChunk } = this;
    const flat = this.ownHeaders(timeline);
    const bodiless = hasNoBody(status);
    if (status === 205) flat.push('Content-Length', '0');
    else if (!bodiless) flat.push('Content-Length', this.contentLength());
    this.failure = this.writeHead(flat);
    if (this.failure !== undefined) sendError(response, this.failure, this.ownHeaders(timeline));
    else if (firstChunk === undefined || bodiless) response.end();
    else response.end(firstChunk);
  }

  /** A HEAD answer may say how long the body would have been. */
  private contentLength(): string {
    if (this.firstChunk !== undefined) return String(this.firstChunk.length);
    return (this.response.req.method === 'HEAD' ? this.toldLength() : undefined) ?? '0';
  }

  /** As the function says it. */
  private toldLength(): string | undefined {
    const told = this.headers?.['content-length'];
    return told !== undefined && /^\d{1,15}$/.test(told) ? told : undefined;
  }

  /** False if the head cannot be sent: the call has then ended with an error. */
  private startStream(): boolean {
    const flat = this.ownHeaders(undefined);
    const { status } = this;
    const { method, httpVersionMinor } = this.response.req;
    const told = this.toldLength();
    if (status === 205) flat.push('Content-Length', '0');
    else if (status !== 204 && status !== 304) {
      if (told !== undefined) {
        flat.push('Content-Length', told);
        if (method !== 'HEAD') this.missingBytes = Number(told);
      } else if (httpVersionMinor > 0) {
        flat.push('Transfer-Encoding', 'chunked', 'Trailer', 'X-Duration-Seconds');
      }
    }
    const failure = this.writeHead(flat);
    if (failure !== undefined) {
      this.fail(failure, undefined);
      return false;
    }
    this.streaming = true;
    this.bodiless = method === 'HEAD' || hasNoBody(status);
    if (this.bodiless || this.firstChunk === undefined) this.response.flushHeaders();
    if (this.firstChunk !== undefined) this.send(this.firstChunk, this.firstSent);
    return true;
  }

  private writeHead(flat: string[]): NemoError | undefined {
    try {
      if (!(this.status >= 200 && this.status <= 599)) throw new RangeError(`status ${this.status}`);
      if (this.headers !== undefined) appendReplyHeaders(flat, this.headers, this.place.shared);
      this.response.writeHead(this.status, flat);
      return undefined;
    } catch (cause) {
      const why = (cause as Error).message;
      return new NemoError(
        'FUNCTION_ERROR',
        `'${this.functionName}' gave an answer that is not HTTP: ${why}`,
        {
          hint: 'use a status from 200 to 599 and header values of printable characters',
        },
      );
    }
  }

  private otherLength(): NemoError {
    const told = this.toldLength();
    return new NemoError(
      'FUNCTION_ERROR',
      `'${this.functionName}' told a length of ${told} bytes and gave an answer of another`,
      { hint: 'leave Content-Length out of the answer: it is counted' },
    );
  }

  private ownHeaders(timeline: CallTimeline | undefined): string[] {
    const flat = ['X-Call-Id', this.callId];
    const start = timeline?.start ?? this.start;
    if (start !== undefined) flat.push('X-Nemo-Start', start);
    if (timeline !== undefined) flat.push('X-Duration-Seconds', durationS(timeline));
    return flat;
  }
}

function hasNoBody(status: number): boolean {
  return status === 204 || status === 205 || status === 304;
}

function durationS(timeline: CallTimeline): string {
  return ((timeline.endedMs - timeline.acceptedMs) / 1000).toFixed(6);
}
