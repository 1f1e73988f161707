/** One call whose answer is wanted whole, for sources that do not stream. */

import type { NemoError } from '../errors.js';
import type { CallRequest, CallTimeline, Sink } from './function.js';

export interface WholeAnswer {
  status: number;
  headers: Record<string, string>;
  body: Buffer;
  timeline: CallTimeline;
}

/** Rejects with the NemoError of a call that failed. */
export function callFunction(
  { invoke }: { invoke(call: CallRequest, sink: Sink): void },
  request: CallRequest,
): Promise<WholeAnswer> {
  return new Promise((resolve, reject: (error: NemoError) => void) => {
    let status = 0;
    let headers: Record<string, string> = {};
    const chunks: Buffer[] = [];
    invoke(request, {
      onHead(code, fields) {
        status = code;
        headers = fields;
      },
      onChunk: (chunk) => void chunks.push(chunk),
      onEnd: (timeline) => resolve({ status, headers, body: Buffer.concat(chunks), timeline }),
      onError: (error) => reject(error),
    });
  });
}
