/**
 * A module that calls functions of WASI one after the other and answers with its memory: each error number as an i32, and
 * whatever the calls wrote. Nothing of a call's outcome is judged inside.
 */

import type { Sandbox } from '../../src/sandbox/engine.js';
import { call } from './sandboxes.js';
import { callingWasi, i32, i64, leb, type WasiCall } from './wasm-modules.js';

/** A call, or code that leaves nothing on the stack. */
export type Step = WasiCall | { code: number[] };

/** Error numbers lie from here on, and the vector of the answer before them. */
const ERRORS_AT = 32_768;
const MEMORY_BYTES = 65_536;

export const storeI32 = (at: number, value: number): Step => ({
  code: [...i32(at), ...i32(value), 0x36, 0x02, 0x00],
});
export const storeI64 = (at: number, value: number): Step => ({
  code: [...i32(at), ...i64(value), 0x37, 0x03, 0x00],
});
/** What lies at `from` and `more`, added. */
export const addI64 = (at: number, from: number, more: number): Step => ({
  code: [...i32(at), ...i32(from), 0x29, 0x03, 0x00, ...i64(more), 0x7c, 0x37, 0x03, 0x00],
});

export function wasiSession(steps: readonly Step[]): Buffer {
  const calls = steps.filter((step): step is WasiCall => !('code' in step));
  const code = steps.flatMap((step) => {
    if ('code' in step) return step.code;
    const [, ...args] = step;
    const i = calls.indexOf(step);
    return [
      ...i32(ERRORS_AT + 4 * i),
      ...args.flatMap(([, push]) => push),
      0x10,
      ...leb(i),
      0x36,
      0x02,
      0x00,
    ];
  });
  const vector = ERRORS_AT - 16;
  const store = (at: number, value: number) => [...i32(at), ...i32(value), 0x36, 0x02, 0x00];
  code.push(...store(vector, 0), ...store(vector + 4, MEMORY_BYTES));
  code.push(...i32(1), ...i32(vector), ...i32(1), ...i32(vector + 8), 0x10, ...leb(calls.length), 0x1a);
  return callingWasi(calls, code);
}

export interface Session {
  /** Of the calls, in order. */
  errors: number[];
  memory: Buffer;
}

export async function runSession(sandbox: Sandbox, calls: number, input = ''): Promise<Session> {
  const answer = (await call(sandbox, { body: input })).body;
  const memory = answer.subarray(-MEMORY_BYTES);
  return { memory, errors: Array.from({ length: calls }, (_, i) => memory.readInt32LE(ERRORS_AT + 4 * i)) };
}
