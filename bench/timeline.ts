/** The course of one round as the agent's status tells it, ten times a second. */

import type { AgentProcess } from '../src/lab/agent-process.js';
import type { RoundTimeline } from './types.js';

const PERIOD_MS = 100;

export class TimelineRecorder {
  private readonly rows: RoundTimeline = {
    period_ms: PERIOD_MS,
    nf_ratio: [],
    function_ratio: [],
    throttle_level: [],
    nf_p99_us: [],
  };
  private running = true;
  private readonly ended: Promise<void>;

  constructor(agent: AgentProcess, core: number) {
    this.ended = this.record(agent, core);
  }

  async stop(): Promise<RoundTimeline> {
    this.running = false;
    await this.ended;
    return this.rows;
  }

  private async record(agent: AgentProcess, core: number): Promise<void> {
    const { rows } = this;
    for (let next = performance.now(); this.running; ) {
      const row = (await agent.status()).cores.find((one) => one.core === core)!;
      rows.nf_ratio.push(row.nfRatio);
      rows.function_ratio.push(row.functionRatio);
      rows.throttle_level.push(row.throttleLevel);
      rows.nf_p99_us.push(row.p99Us);
      next += PERIOD_MS;
      await new Promise((done) => setTimeout(done, Math.max(0, next - performance.now())));
    }
  }
}
