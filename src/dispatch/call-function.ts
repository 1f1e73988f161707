/** One call whose answer is wanted whole, for sources that do not stream. */

import type { Call, CallTimeline } from '../model/call.js';
import { NemoError } from '../model/errors.js';
import type { ReplySink } from '../model/reply-sink.js';
import { QUEUE } from '../tunables/index.js';

export interface WholeAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
  timeline: CallTimeline;
}

/** Rejects with the NemoError of a call that failed; with BODY_TOO_LARGE for an answer that is too long to hold. */
export function callFunction(
  { invoke }: { invoke(call: Call, sink: ReplySink): void },
  request: Call,
): Promise<WholeAnswer> {
  return new Promise((resolve, reject: (error: NemoError) => void) => {
    let status = 0;
    let headers: Record<string, string> = {};
    const chunks: Buffer[] = [];
    let bytes = 0;
    let failure: NemoError | undefined;
    let leave = (): void => {};
    invoke(request, {
      get failure() {
        return failure;
      },
      /** Its function may stop. What it was called with is held until it does. */
      get gone() {
        return failure !== undefined;
      },
      whenLeft(left) {
        leave = left;
      },
      onHead(code, fields) {
        status = code;
        headers = fields;
      },
      onChunk(chunk) {
        bytes += chunk.length;
        if (bytes <= QUEUE.answerMaxBytes) chunks.push(chunk);
        else if (failure === undefined) {
          chunks.length = 0;
          failure = tooLong(request.ref.key);
          leave();
        }
      },
      onEnd(timeline) {
        if (failure !== undefined) reject(failure);
        else resolve({ status, headers, body: Buffer.concat(chunks), timeline });
      },
      onError: (error) => reject(failure ?? error),
    });
  });
}

function tooLong(functionName: string): NemoError {
  return new NemoError(
    'BODY_TOO_LARGE',
    `"${functionName}" answered with more than ${QUEUE.answerMaxBytes} bytes, which a queue does not hold`,
    { hint: 'let it store what is long, and answer with where that is' },
  );
}
