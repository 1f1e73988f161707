/**
 * Replays a trace twice: in the simulator, and against a real agent on this machine with the same policies, time
 * divided by `--scale`. Functions sleep for as long as the trace says. What is compared is how calls started.
 *
 *   node dist/bench/simulate-live.js data/azure2021-200.csv 30 none+ttl:keepAlive=10s,fixed+ttl [limit]
 */

import { Agent } from 'undici';
import { AgentProcess } from '../src/lab/agent-process.js';
import { onlineCores } from '../src/linux/online-cores.js';
import { createPolicies } from '../src/policy/policies.js';
import { type PolicySet, parsePolicySet } from '../src/sim/compare.js';
import { COSTS, type Costs } from '../src/sim/costs.js';
import { readTrace } from '../src/sim/read-trace.js';
import type { Trace } from '../src/sim/trace.js';
import { World } from '../src/sim/world.js';

const SLEEPER =
  'export default async (event) => { await new Promise((done) => setTimeout(done, Number(event))); return "ok"; };';

interface LiveResult {
  cold: number;
  stem: number;
  warm: number;
  failed: number;
  /** Mean time from request to first byte, less the length of the call. */
  startMs: number;
}

async function startAgent(set: PolicySet): Promise<AgentProcess> {
  const [housekeeping, ...others] = onlineCores();
  return AgentProcess.start({
    discovery: false,
    cores: { functions: [others.at(-1) ?? housekeeping!], housekeeping: [housekeeping!] },
    pool: {
      prewarm: set.prewarm,
      keepAlive: set.keepAlive,
      ...(set.selection === undefined ? {} : { selection: set.selection }),
    },
  });
}

/** The trace against a real agent with one function core. */
export async function replayLive(trace: Trace, set: PolicySet): Promise<LiveResult> {
  const agent = await startAgent(set);
  const dispatcher = new Agent({ connections: 256, headersTimeout: 300_000, bodyTimeout: 300_000 });
  try {
    for (let i = 0; i < trace.functionNames.length; i++) {
      await agent.deploy(`f${i}`, SLEEPER, { memory: '128Mi', timeout: '15m' });
    }
    await settled(agent);
    const result: LiveResult = { cold: 0, stem: 0, warm: 0, failed: 0, startMs: 0 };
    const beganMs = performance.now();
    const calls: Promise<void>[] = [];
    for (let i = 0; i < trace.arrivalsMs.length; i++) {
      const waitMs = beganMs + trace.arrivalsMs[i]! - performance.now();
      if (waitMs > 0) await new Promise((done) => setTimeout(done, waitMs));
      calls.push(call(dispatcher, agent.url, trace, i, result));
    }
    await Promise.all(calls);
    return result;
  } finally {
    await dispatcher.destroy();
    await agent.stop();
  }
}

async function call(
  dispatcher: Agent,
  url: string,
  trace: Trace,
  i: number,
  result: LiveResult,
): Promise<void> {
  const durationMs = trace.durationsMs[i]!;
  const fromMs = performance.now();
  try {
    const { statusCode, headers, body } = await dispatcher.request({
      origin: url,
      path: `/function/f${trace.functions[i]}`,
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: String(durationMs),
    });
    const tookMs = performance.now() - fromMs - durationMs;
    await body.dump();
    const kind = headers['x-nemo-start'];
    if (statusCode === 200 && (kind === 'cold' || kind === 'stem' || kind === 'warm')) {
      result[kind]++;
      result.startMs += tookMs / trace.arrivalsMs.length;
    } else result.failed++;
  } catch {
    result.failed++;
  }
}

/** What a start costs here when nothing else starts: the least of a few, since what else runs only adds to it. */
async function measureCosts(): Promise<Costs> {
  const once = async (prewarm: string, kind: string): Promise<number> => {
    const agent = await startAgent({ text: '', prewarm, keepAlive: 'lru' });
    try {
      const took: number[] = [];
      for (let i = 0; i < 7; i++) {
        await agent.deploy(`p${i}`, SLEEPER, { memory: '128Mi' });
        await new Promise((done) => setTimeout(done, 700));
        const fromMs = performance.now();
        const reply = await fetch(`${agent.url}/function/p${i}`);
        await reply.arrayBuffer();
        if (reply.headers.get('x-nemo-start') === kind) took.push(performance.now() - fromMs);
      }
      return Math.min(...took);
    } finally {
      await agent.stop();
    }
  };
  return { ...COSTS, coldMs: await once('none', 'cold'), stemMs: await once('template', 'stem') };
}

/** What is made ahead is there: the number of sandboxes has been the same for a while. */
async function settled(agent: AgentProcess): Promise<void> {
  let last = -1;
  let same = 0;
  await agent.until((frame) => {
    const now = frame.functions.reduce(
      (sum, fn) => sum + fn.sandboxes.filter((s) => s.state === 'warm').length,
      0,
    );
    same = now === last ? same + 1 : 0;
    last = now;
    return same >= 40;
  }, 120_000);
}

export function simulate(trace: Trace, set: PolicySet, costs: Costs) {
  return new World(trace, { policies: createPolicies(set), costs, cores: 1 }).run();
}

async function main([file, scale = '30', sets = 'none+ttl:keepAlive=10s', limit]: string[]): Promise<void> {
  const trace = await readTrace(file!, {
    scale: Number(scale),
    ...(limit === undefined ? {} : { limit: Number(limit) }),
  });
  const costs = await measureCosts();
  process.stdout.write(`${JSON.stringify({ costs })}\n`);
  for (const set of sets.split(',').map(parsePolicySet)) {
    const live = await replayLive(trace, set);
    const { cold, stem, warm, rejected, startLatencyMs } = await simulate(trace, set, costs);
    const misses = { live: live.cold + live.stem, simulated: cold + stem };
    process.stdout.write(
      `${JSON.stringify({
        policies: set.text,
        calls: trace.arrivalsMs.length,
        live,
        simulated: { cold, stem, warm, rejected, startMs: startLatencyMs.mean },
        misses: { ...misses, differenceRatio: (misses.simulated - misses.live) / Math.max(1, misses.live) },
      })}\n`,
    );
  }
}

if (process.argv[1]?.endsWith('simulate-live.js')) await main(process.argv.slice(2));
