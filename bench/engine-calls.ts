/** Calls of a function that does nothing, and what they cost. */

import type { CallRequest } from '../src/model/call.js';
import { functionRef } from '../src/model/function-ref.js';
import type { Sandbox } from '../src/sandbox/engine.js';
import { median } from './statistics.js';

export const WARM_CALLS = 1_000;
export const OUTSTANDING = 16;

const REQUEST: CallRequest = {
  callId: 'bench',
  ref: functionRef('noop'),
  method: 'POST',
  path: '/',
  query: '',
  headers: {},
  body: Buffer.alloc(0),
};

export function call(sandbox: Sandbox): Promise<void> {
  return new Promise((resolve, reject) => {
    sandbox.invoke(REQUEST, performance.now() + 10_000, {
      onHead: () => {},
      onChunk: () => {},
      onEnd: resolve,
      onError: reject,
    });
  });
}

export async function warmP50Us(sandbox: Sandbox): Promise<number> {
  const times: number[] = [];
  for (let i = 0; i < WARM_CALLS; i++) {
    const startMs = performance.now();
    await call(sandbox);
    times.push((performance.now() - startMs) * 1_000);
  }
  return median(times)!;
}

export async function throughput(
  sandbox: Sandbox,
  seconds: number,
): Promise<{ perS: number; perCpuS: number }> {
  const cpuBefore = sandbox.cgroup.usage().cpuNs;
  const startMs = performance.now();
  let calls = 0;
  const lane = async (): Promise<void> => {
    while (performance.now() - startMs < seconds * 1_000) {
      await call(sandbox);
      calls++;
    }
  };
  await Promise.all(Array.from({ length: OUTSTANDING }, lane));
  const wallS = (performance.now() - startMs) / 1_000;
  const cpuS = (sandbox.cgroup.usage().cpuNs - cpuBefore) / 1e9;
  return { perS: calls / wallS, perCpuS: calls / cpuS };
}
