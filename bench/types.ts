/**
 * The bench's JSON, schema `nemo.bench/2`: one report holds any number of scenarios. Times carry their unit in
 * the name; ratios are 0..1 or to `solo`; null is "not measured" or "nothing to measure".
 */

export const BENCH_SCHEMA = 'nemo.bench/2';

export interface BenchReport {
  schema: typeof BENCH_SCHEMA;
  /** The exact command that made it. */
  command: string;
  commit: string | null;
  startedAt: string;
  finishedAt: string | null;
  /** True while not all of the rounds asked for have run: an interrupted run, to be resumed. */
  partial?: boolean;
  host: Record<string, string | number | boolean>;
  scenarios: ScenarioResult[];
}

export interface ScenarioResult {
  scenario: ScenarioInfo;
  rounds: BenchRound[];
  /** By policy, in the order asked for. */
  summary: Record<string, BenchPolicySummary>;
  /** The invoke path on an idle box; present where the scenario measures it. */
  gateway?: GatewayResult;
  idle?: IdleResult;
  /** Why the scenario could not run (a missing package, say); there are no rounds then. */
  skipped?: string;
}

export interface ScenarioInfo {
  /** As `--only` takes it: `firewall/50/steady/cpu5/closed`. */
  name: string;
  about: string;
  /** A network function by name; a chain as `nat+firewall`. */
  nf: string;
  mode: 'sleep' | 'poll';
  /** Of the highest rate that the NF alone forwards without loss; null where the pattern has its own pace. */
  loadRatio: number | null;
  pattern: string;
  /** Mean offered load; null where the pattern has its own pace. Requests/s for NFs that answer HTTP. */
  packetsPerS: number | null;
  /** Functions called, by workload name. */
  functions: string[];
  /** `closed`, `poisson`, `azure` or `none`. */
  arrivals: string;
  policies: string[];
  roundCount: number;
  seconds: number;
  capacity?: CapacityResult;
  /** The p99 that the agent has to keep: the profile's, or twice what the NF alone has where that is more. */
  slo_us?: number;
}

/** What 100 % load means for the NF of a scenario. */
export interface CapacityResult {
  packetsPerS: number;
  /** `nf`: it lost packets or filled its core above; `generator`: the traffic generator could not send more. */
  limitedBy: 'nf' | 'generator' | 'nothing found below the cap';
  /** Offered rate, loss and the share of its core that the NF used, of each trial. */
  trials: Array<{ packetsPerS: number; lossRatio: number; nfRatio: number; notSentRatio: number }>;
  /** How the NF was made dearer than its default configuration, so that its core can be filled; null: it was not. */
  nfCost: string | null;
}

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
  nf: {
    sent: number;
    received: number;
    lost: number;
    latency_us: LatencySummaryUs;
    /** Points [microseconds, share of packets not slower], rising; at most 60. */
    latency_cdf?: Array<[number, number]>;
  };
  /** The NF core over the measured time. */
  core: {
    wall_us: number;
    nf_us: number;
    function_us: number;
    /** All that is not the NF's. */
    spare_us: number;
    /** Neither the NF's nor functions': other programs. Absent where the kernel does not say. */
    other_us?: number;
    /** Taken by the host of this virtual machine. */
    stolen_us?: number;
  };
  functions: {
    completed: number;
    failed: number;
    latency_ms: { p50: number | null; p99: number | null };
    /** Points [milliseconds, share of calls not slower], rising; at most 60. */
    latency_cdf_ms?: Array<[number, number]>;
    /** Request to first byte from a sandbox that never ran before. */
    start_ms: { p50: number | null; p99: number | null };
    starts: { cold: number; stem: number; warm: number };
    /** Calls that waited when the round was over. */
    queued?: number;
    first_error?: string;
  };
  timeline?: RoundTimeline;
  reactions_us?: Reactions;
  /** p99 lateness of an idle FIFO timer thread while the round ran: how much the machine itself disturbed. */
  host_noise_p99_us: number | null;
  generator_lateness_p99_us: number | null;
  /** True when the machine itself disturbed the round too much to count; `noisyWhy` says how. */
  noisy?: boolean;
  noisyWhy?: string;
}

/** One column a series, one entry a period; null where nothing was seen. One round a policy carries it. */
export interface RoundTimeline {
  period_ms: number;
  nf_ratio: number[];
  function_ratio: number[];
  throttle_level: number[];
  nf_p99_us: Array<number | null>;
}

/** From the sign of a conflict to the applied throttle. */
export interface Reactions {
  count: number;
  p50: number;
  p99: number;
  max?: number;
  /** Since the kernel received the packet that broke the SLO, and since that packet's time was up. */
  packet?: {
    count: number;
    p50: number;
    p99: number;
    over_slo_p50: number;
    over_slo_p99: number;
    /** Since it was let go, late; not in older reports. */
    known_p50?: number;
    known_p99?: number;
  };
  /** Points [upper bound in microseconds, count]. */
  buckets?: Array<[number, number]>;
}

/** The median over rounds, and the bounds that hold it with 95 % confidence (bootstrap). */
export interface Estimate {
  value: number;
  low: number;
  high: number;
}

export interface BenchPolicySummary {
  nf_p50_us: number | null;
  nf_p99_us: number | null;
  /** Median over rounds of (p99 of this policy / p99 of solo in the same round). */
  nf_p99_ratio_to_solo: number | null;
  nf_loss_ratio: number;
  harvest_efficiency: number | null;
  function_rate_per_s: number | null;
  function_p50_ms: number | null;
  function_p99_ms: number | null;
  start_p50_ms: number | null;
  /** Of the rounds that count. */
  intervals: Partial<Record<HeadlineName, Estimate>>;
  /** Rounds run, and those of them that were marked noisy. */
  rounds: number;
  noisy_rounds: number;
  /** What was done with noisy rounds, when there were any. */
  note?: string;
}

export type HeadlineName =
  | 'nf_p50_us'
  | 'nf_p99_us'
  | 'nf_p99_ratio_to_solo'
  | 'harvest_efficiency'
  | 'function_rate_per_s'
  | 'function_p50_ms'
  | 'function_p99_ms'
  | 'start_p50_ms';

export interface GatewayResult {
  callers_one: { rate_per_s: number; p50_ms: number; p99_ms: number };
  callers_many: { callers: number; rate_per_s: number; p50_ms: number; p99_ms: number };
}

export interface IdleResult {
  seconds: number;
  agent_cpu_ratio: number;
  agent_rss_bytes: number;
}

export interface Workload {
  about: string;
  /** Code, or the compiled file in functions/ that is bundled with its dependencies. */
  code: string | { file: string };
  /** Appended to the path of a call. */
  query?: string;
  /** What a function of it may ask of the agent. */
  options?: Record<string, unknown>;
  /** Called beside the others to disturb, its own figures do not count. */
  hostile?: true;
  /** CPU milliseconds of a call, roughly: what open arrivals are paced by. */
  cpuMs: number;
}
