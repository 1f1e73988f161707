import { expect } from 'chai';
import { verdicts } from '../../../bench/html/targets.js';
import { summarize } from '../../../bench/summary.js';
import type { BenchReport, BenchRound, ScenarioInfo } from '../../../bench/types.js';

const round = (policy: string, number: number, p99: number, lost = 0): BenchRound => ({
  policy,
  round: number,
  nf: { sent: 1000, received: 1000 - lost, lost, latency_us: { p50: 1, p90: 1, p99, p999: p99, max: p99 } },
  core: { wall_us: 100, nf_us: 50, function_us: policy === 'solo' ? 0 : 49, spare_us: 50 },
  functions: {
    completed: policy === 'solo' ? 0 : 10,
    failed: 0,
    latency_ms: { p50: 1, p99: 2 },
    start_ms: { p50: policy === 'naive' ? 300 : 10, p99: null },
    starts: { cold: 0, stem: 0, warm: 1 },
  },
  host_noise_p99_us: null,
  generator_lateness_p99_us: null,
});

function reportOf(change: Partial<ScenarioInfo>, p99OfNemo: number, lost = 0): BenchReport {
  const policies = ['solo', 'naive', 'nemo'];
  const scenario: ScenarioInfo = {
    name: 'x',
    about: '',
    nf: 'firewall',
    mode: 'sleep',
    loadRatio: 0.5,
    pattern: 'steady',
    packetsPerS: 1,
    functions: ['cpu5'],
    arrivals: 'closed',
    policies,
    roundCount: 9,
    seconds: 2,
    ...change,
  };
  const rounds = [1, 2, 3].flatMap((number) => [
    round('solo', number, 100),
    round('naive', number, 5000),
    round('nemo', number, p99OfNemo, lost),
  ]);
  return {
    schema: 'nemo.bench/2',
    command: '',
    commit: null,
    startedAt: '',
    finishedAt: null,
    host: {},
    scenarios: [{ scenario, rounds, summary: summarize(rounds, 2) }],
  };
}
const met = (report: BenchReport): Record<string, boolean | null> =>
  Object.fromEntries(verdicts(report).map((verdict) => [verdict.promise.slice(0, 16), verdict.met]));

describe('the verdicts of a report', () => {
  it('say met only where the worst scenario meets it', () => {
    expect(met(reportOf({}, 104))).to.include({ 'NF p99 at 30-70 ': true, 'packets lost tha': true });
    expect(met(reportOf({}, 106))).to.include({ 'NF p99 at 30-70 ': false });
    expect(met(reportOf({}, 90, 1))).to.include({ 'packets lost tha': false });
  });

  it('say nothing of what was not measured', () => {
    expect(met(reportOf({ roundCount: 3 }, 90))).to.include({ 'NF p99 at 30-70 ': null });
    expect(met(reportOf({}, 90))).to.include({ 'NF p99 at 90 % l': null, 'median start und': null });
  });

  it("compare starts under the trace with naive's", () => {
    expect(met(reportOf({ arrivals: 'azure' }, 90))).to.include({ 'median start und': true });
  });
});
