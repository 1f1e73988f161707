/**
 * The function of ours that a sandbox loads, calls and forgets before it is given one of a user's: whatever the runtime
 * compiles at its first use is compiled then.
 */

import type { CallRequest } from '../model/call.js';
import { functionRef } from '../model/function-ref.js';
import { ISOLATE, POOL } from '../tunables/index.js';
import type { SandboxReply } from './engine.js';

export const REHEARSAL = {
  ref: functionRef('rehearsal'),
  source: { kind: 'module' },
  env: {},
  memoryBytes: POOL.memoryMaxDefaultBytes,
  timeoutMs: 1_000,
} as const;

const CALL: CallRequest = {
  callId: 'rehearsal',
  ref: REHEARSAL.ref,
  method: 'POST',
  path: '/',
  query: '',
  headers: { 'content-type': 'application/json' },
  body: Buffer.from('{}'),
};

/** Its calls, one after the other. How they end does not matter. */
export async function callRehearsal(
  send: (call: CallRequest, allowedMs: number, reply: SandboxReply) => void,
): Promise<void> {
  const ignore = (): void => {};
  for (let i = 0; i < ISOLATE.rehearsalCalls; i++) {
    await new Promise<void>((resolve) => {
      const reply = { onHead: ignore, onChunk: ignore, onEnd: resolve, onError: () => resolve() };
      send(CALL, REHEARSAL.timeoutMs, reply);
    });
  }
}
