/** Beds of NFs that forward packets: the reference NFs, chains of them, testpmd, Open vSwitch, nftables. */

import { fileURLToPath } from 'node:url';
import type { UserConfig } from '../../src/config/config-schema.js';
import { type RunningNf, type StartNf, startReferenceNf, Testbed } from '../../src/lab/testbed.js';
import type { TrafficReport, TrafficSpec } from '../../src/lab/traffic/spec.js';
import { connect } from '../../src/linux/netns.js';
import { CpuStat, Tick } from '../../src/linux/procfs.js';
import type { NfMode } from '../../src/model/nf-profile.js';
import { cpuTimeNs } from '../cpu-time.js';
import type { LoadReport, SetupLoad, TestSetup } from './test-setup.js';

const CAPTURE = fileURLToPath(new URL('../../../data/openNetVM-64B_download.pcap', import.meta.url));
/** Lengths of bursts and pauses, means: longer than a function call of 5 ms, shorter than a round. */
const BURST = { onMs: 20, offMs: 20 };
/** Two thirds of the generator's core: the agent and the callers live on the rest. */
const PACKETS_PER_S_MAX = 90_000;

export interface PacketNf {
  startNf: StartNf;
  /** NF processes that the agent has to find. */
  pids: () => number[];
  /** A kernel NF: its time is the softirq time of its core. */
  softirq?: boolean;
  config?: (pids: number[]) => Partial<UserConfig>;
  frames?: { frameBytes?: number; flows?: number };
  /** What is replayed; by default the capture that NEMO brings. */
  capture?: string;
  nfCost?: string;
  /** Seen in the feed, but not harvestable before this holds too. */
  ready?: (nf: { mode: NfMode }) => boolean;
}

export async function createPacketSetup(
  nf: PacketNf,
  cpu: number,
  housekeepingCpu: number,
): Promise<TestSetup> {
  const testbed = await Testbed.create({ startNf: nf.startNf, cpu, housekeepingCpu });
  const pids = nf.pids();
  return {
    config: nf.config?.(pids) ?? {},
    nfCost: nf.nfCost ?? null,
    perSMax: PACKETS_PER_S_MAX,
    found: (frame) =>
      pids.every((pid) => frame.nfs.some((one) => one.pid === pid && (nf.ready?.(one) ?? true))),
    cpuTime: () => (nf.softirq ? softirqTime(cpu) : cpuTimes(pids, cpu)),
    run: (load) => testbed.traffic.run(trafficOf(load, nf)),
    measure: async (seconds) => loadReport(await testbed.traffic.measure(seconds)),
    close: () => testbed.close(),
  };
}

/** Reference NFs in the order in which packets pass them, all on one core; between two of them a link of their own. */
export function referenceChain(
  names: readonly string[],
  mode: NfMode,
  settings: { configs?: readonly unknown[]; swapLast?: boolean } = {},
): Pick<PacketNf, 'startNf' | 'pids'> {
  let running: RunningNf[] = [];
  return {
    pids: () => running.map(({ pid }) => pid),
    startNf: async ({ namespace, cpu }) => {
      running = [];
      try {
        for (const [i, name] of names.entries()) {
          const last = i === names.length - 1;
          if (!last) await connect(namespace, `x${i}`, namespace, `y${i}`);
          const [near, far] = [i === 0 ? 'n0' : `y${i - 1}`, last ? 'n1' : `x${i}`];
          const swap = last && settings.swapLast === true;
          const ends = swap ? { in: far, out: near } : { in: near, out: far };
          running.push(
            await startReferenceNf(namespace, {
              profile: name,
              mode,
              cpu,
              config: settings.configs?.[i] ?? {},
              ...ends,
            }),
          );
        }
      } catch (thrown) {
        for (const nf of running) await nf.close();
        throw thrown;
      }
      return {
        pid: running[0]!.pid,
        ended: Promise.race(running.map(({ ended }) => ended)),
        close: async () => {
          await Promise.all(running.map((nf) => nf.close()));
        },
      };
    },
  };
}

function trafficOf({ perS, pattern }: SetupLoad, { frames = {}, softirq, capture }: PacketNf): TrafficSpec {
  if (pattern === 'replay') return { kind: 'capture', path: capture ?? CAPTURE, speed: 1 };
  const packetsPerS = perS!;
  if (pattern === 'bursty') return { kind: 'bursty', packetsPerS, ...BURST, ...frames };
  // The kernel samples softirq time at its tick: evenly spaced packets would always hit the same phase.
  return { kind: softirq ? 'poisson' : 'rate', packetsPerS, ...frames };
}

function cpuTimes(pids: readonly number[], core: number): () => number {
  const counters = pids.map((pid) => cpuTimeNs(pid, core));
  return () => counters.reduce((sum, counter) => sum + counter(), 0);
}

function softirqTime(core: number): () => number {
  const stat = new CpuStat(core + 1);
  const ticks = (): number => {
    stat.read();
    return stat.get(core, Tick.softirq);
  };
  const before = ticks();
  return () => {
    const used = ticks() - before;
    stat.close();
    return used * 1e7;
  };
}

function loadReport(report: TrafficReport): LoadReport {
  const { latency_us: latency, sent, received } = report;
  const value = (quantile: number | null): number => quantile ?? Number.NaN;
  return {
    nf: {
      sent,
      received,
      // What the receiver had no slot for says nothing about the NF.
      lost: Math.max(0, report.lost - report.missedByReceiver),
      latency_us: {
        p50: value(latency.p50),
        p90: value(latency.p90),
        p99: value(latency.p99),
        p999: value(latency.p999),
        max: value(latency.max),
      },
      latency_cdf: report.latency_cdf,
    },
    notSentRatio: report.notSent / Math.max(1, sent + report.notSent),
    host_noise_p99_us: report.noise_us.p99,
    generator_lateness_p99_us: report.lateness_us.p99,
  };
}
