/** A call of the trace: what it asks for and where its answer goes, in one object. */

import type { Call, CallMode, Principal, StartKind } from '../model/call.js';
import type { NemoError } from '../model/errors.js';
import type { FunctionRef } from '../model/function-ref.js';
import type { ReplySink } from '../model/reply-sink.js';

/** Told how a call began, when its answer would begin; or that it was not served. */
export interface CallCounter {
  began(call: SimCall, start: StartKind): void;
  rejected(call: SimCall, error: NemoError): void;
}

const NO_HEADERS: Record<string, string> = {};
const CALLER: Principal = { source: 'http', name: 'trace' };
const NO_BODY = Buffer.alloc(0);

export class SimCall implements Call, ReplySink {
  /** Its sandbox came from a snapshot. */
  restored = false;

  constructor(
    readonly index: number,
    readonly ref: FunctionRef,
    readonly arrivalMs: number,
    readonly durationMs: number,
    private readonly counter: CallCounter,
  ) {}

  get callId(): string {
    return String(this.index);
  }

  get method(): string {
    return 'POST';
  }

  get path(): string {
    return '/';
  }

  get query(): string {
    return '';
  }

  get headers(): Record<string, string> {
    return NO_HEADERS;
  }

  get principal(): Principal {
    return CALLER;
  }

  get mode(): CallMode {
    return 'sync';
  }

  get deadlineMs(): number {
    return Number.POSITIVE_INFINITY;
  }

  get traceparent(): undefined {
    return undefined;
  }

  get body(): Buffer {
    return NO_BODY;
  }

  onHead(_status: number, _headers: Record<string, string>, start: StartKind = 'warm'): void {
    this.counter.began(this, start);
  }

  onChunk(): void {}

  onEnd(): void {}

  onError(error: NemoError): void {
    this.counter.rejected(this, error);
  }
}
