/** The bench's JSON, schema `nemo.bench/1`. Times carry their unit in the name; ratios are 0..1 or to `solo`. */

export const BENCH_SCHEMA = 'nemo.bench/1';

export interface LatencySummaryUs {
  p50: number;
  p90: number;
  p99: number;
  p999: number;
  max: number;
}

export interface BenchRound {
  policy: string;
  round: number;
  nf: { sent: number; received: number; lost: number; latency_us: LatencySummaryUs };
  /** The NF core over the measured time. */
  core: { wall_us: number; nf_us: number; function_us: number; spare_us: number };
  functions: {
    completed: number;
    failed: number;
    latency_ms: { p50: number | null; p99: number | null };
    /** Request to first byte from a sandbox that never ran before. */
    start_ms: { p50: number | null; p99: number | null };
    starts: { cold: number; stem: number; warm: number };
  };
  /** p99 lateness of an idle FIFO timer thread while the round ran: how much the machine itself disturbed. */
  host_noise_p99_us: number | null;
  generator_lateness_p99_us: number | null;
}

export interface BenchPolicySummary {
  nf_p50_us: number;
  nf_p99_us: number;
  /** Median over rounds of (p99 of this policy / p99 of solo in the same round). */
  nf_p99_ratio_to_solo: number | null;
  nf_loss_ratio: number;
  harvest_efficiency: number | null;
  function_rate_per_s: number | null;
  function_p50_ms: number | null;
  function_p99_ms: number | null;
  start_p50_ms: number | null;
}

export interface BenchResult {
  schema: typeof BENCH_SCHEMA;
  command: string;
  commit: string | null;
  startedAt: string;
  host: Record<string, string | number | boolean>;
  scenario: Record<string, unknown>;
  rounds: BenchRound[];
  summary: Record<string, BenchPolicySummary>;
  /** The invoke path on an idle box; present where the scenario measures it. */
  gateway?: GatewayResult;
  idle?: IdleResult;
}

export interface GatewayResult {
  callers_one: { rate_per_s: number; p50_ms: number; p99_ms: number };
  callers_many: { callers: number; rate_per_s: number; p50_ms: number; p99_ms: number };
}

export interface IdleResult {
  seconds: number;
  agent_cpu_ratio: number;
  agent_rss_bytes: number;
}
