/** The box without an NF's load: the invoke path through the gateway, and what an agent costs that has nothing to do. */

import { AgentProcess } from '../src/lab/agent-process.js';
import { Callers } from '../src/lab/callers.js';
import { allowedCores } from '../src/linux/allowed-cores.js';
import { cpuTimeNs } from './cpu-time.js';
import type { GatewayResult, IdleResult } from './types.js';
import { NOOP_CODE } from './workloads.js';

const MANY_CALLERS = 16;

export async function measureBox(
  nfCore: number,
  seconds: number,
  progress: (what: string) => void,
): Promise<{ gateway: GatewayResult; idle: IdleResult }> {
  const agent = await AgentProcess.start({
    cores: { functions: [nfCore], housekeeping: allowedCores().cores.filter((core) => core !== nfCore) },
    discovery: false,
  });
  try {
    progress('agent without load');
    // What starting allocated is collected, and its buffers are returned, within a few seconds.
    await new Promise((done) => setTimeout(done, 3_000));
    const cpu = cpuTimeNs(agent.pid);
    const from = performance.now();
    await new Promise((done) => setTimeout(done, seconds * 1000));
    const idle: IdleResult = {
      seconds,
      agent_cpu_ratio: cpu() / ((performance.now() - from) * 1e6),
      agent_rss_bytes: (await agent.status()).agent.memory.agentRssBytes,
    };
    progress('invoke path');
    await agent.deploy('noop', NOOP_CODE, { concurrency: 64 });
    await agent.until(
      (frame) => frame.functions[0]?.sandboxes.some((s) => s.state === 'warm') ?? false,
      10_000,
    );
    const one = await callFor(agent.url, 1, seconds);
    const many = await callFor(agent.url, MANY_CALLERS, seconds);
    return { gateway: { callers_one: one, callers_many: { callers: MANY_CALLERS, ...many } }, idle };
  } finally {
    await agent.stop();
  }
}

async function callFor(
  url: string,
  count: number,
  seconds: number,
): Promise<{ rate_per_s: number; p50_ms: number; p99_ms: number }> {
  const callers = new Callers(url, count);
  callers.start('/function/noop');
  await new Promise((done) => setTimeout(done, 500));
  callers.take();
  const from = performance.now();
  await new Promise((done) => setTimeout(done, seconds * 1000));
  const figures = callers.take();
  const elapsedS = (performance.now() - from) / 1000;
  await callers.stop();
  return {
    rate_per_s: figures.completed / elapsedS,
    p50_ms: figures.latencyNs.percentile(50) / 1e6,
    p99_ms: figures.latencyNs.percentile(99) / 1e6,
  };
}
