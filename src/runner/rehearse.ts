/**
 * Calls through the runner's own code that nobody made and nobody sees: node compiles code when it runs first, and a
 * sandbox that waits can get that over with before a caller waits for it. Only while nothing else is to be done.
 */

import { Buffer } from 'node:buffer';
import { CallQueue, type Handler } from './calls.js';
import { FrameDecoder, FrameType, FrameWriter } from './frames.js';
import { type Outlet, sendResult } from './reply.js';

/** Twice: what ran once is compiled, what ran again has its types known. */
const ROUNDS = 2;
const LIMIT_MS = 1_000;
const META = JSON.stringify({
  callId: '',
  method: 'POST',
  path: '/',
  query: '',
  headers: { 'content-type': 'application/json' },
});

const NO_CALL = { id: 0, cancelled: false };
const nowhere: Outlet = { writer: new FrameWriter(() => true), drained: () => undefined };

async function* chunks(): AsyncGenerator<string> {
  yield 'chunk';
}

/** Of a stem: decoding, calling and answering. */
export function rehearseCalls(): void {
  const handlers: Handler[] = [
    (event, context) => ({ event, left: context.remainingTimeMs() }),
    async () => 'text',
    () => Buffer.from('bytes'),
    () => chunks(),
  ];
  for (const handler of handlers) {
    const queue = new CallQueue(nowhere, '', { kind: 'event', handler }, 1);
    const decoder = new FrameDecoder((header, meta, body) => {
      queue.push(header.callId, header.timeMs, meta, body);
    });
    const caller = new FrameWriter((bytes) => {
      decoder.push(bytes as Buffer);
      return true;
    });
    for (let i = 0; i < ROUNDS; i++) {
      caller.add(FrameType.call, 0, 0, i, LIMIT_MS, META, '{"a":1}');
      caller.flush();
    }
  }
}

/** Of a sandbox whose function answers with a Response: sending one whole, and one in pieces. */
export function rehearseResponses(): void {
  const piece = Buffer.from('piece');
  for (let i = 0; i < ROUNDS; i++) {
    const stream = new ReadableStream({
      pull(controller) {
        controller.enqueue(piece);
        controller.close();
      },
    });
    for (const body of ['whole', stream]) {
      void sendResult(
        nowhere,
        NO_CALL,
        new Response(body, { headers: { 'content-type': 'text/plain' } }),
      )?.catch(() => {});
    }
  }
}
