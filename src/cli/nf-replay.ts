/**
 * `nemo nf run --capture`: a reference NF in a test bed of its own, under a capture of the user's. The packets go between
 * namespaces that end with this process: none reaches a network.
 */

import { resolve } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { createTestbed, type Testbed } from '../lab/testbed.js';
import type { TrafficReport } from '../lab/traffic/spec.js';
import { checkCapture } from '../lab/traffic/workload.js';
import { ownCores } from '../linux/allowed-cores.js';
import type { NfMode } from '../model/nf-profile.js';
import { writeLine } from '../packet/nf-runtime.js';

export interface ReplayOptions {
  profile: string;
  capture: string;
  mode: NfMode;
  /** Core of the NF; the last one by default. */
  cpu?: number;
  config: unknown;
  /** Packets a second; undefined: at the pace of the capture. */
  packetsPerS?: number;
  /** A line every second. */
  stats: boolean;
  json: boolean;
}

/** Until SIGINT or SIGTERM, or until the NF ends. Throws what a test bed, and reading the capture, throws. */
export async function replayCapture(options: ReplayOptions): Promise<void> {
  const { profile, mode, packetsPerS, stats, json } = options;
  const path = resolve(options.capture);
  checkCapture(path);
  const cores = ownCores().byDefault;
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once('SIGINT', end).once('SIGTERM', end);
  const testbed = await createTestbed({
    nfProfile: profile,
    mode,
    cpu: options.cpu ?? cores.at(-1)!,
    housekeepingCpu: cores[0]!,
    nfConfig: options.config,
  });
  try {
    await testbed.traffic.run({ kind: 'capture', path, ...(packetsPerS !== undefined && { packetsPerS }) });
    const pid = testbed.nfPid;
    if (json) writeLine(JSON.stringify({ ready: true, pid, profile, capture: path, mode }));
    else writeLine(`${profile} forwards the packets of ${path} (pid ${pid}, ${mode} mode); Ctrl-C ends it`);
    const failed = await untilStopped(testbed, stop.signal, (report) => {
      if (stats || stop.signal.aborted) writeLine(json ? JSON.stringify(report) : inWords(report));
    });
    if (failed !== undefined) throw failed;
  } finally {
    await testbed.close();
    process.off('SIGINT', end).off('SIGTERM', end);
  }
}

async function untilStopped(
  testbed: Testbed,
  signal: AbortSignal,
  onReport: (report: TrafficReport) => void,
): Promise<Error | undefined> {
  const ended = testbed.nfEnded().then((error) => ({ error }));
  while (!signal.aborted) {
    await testbed.traffic.mark();
    const second = pause(1_000, undefined, { signal }).catch(() => undefined);
    const over = await Promise.race([second, ended]);
    if (over !== undefined) return over.error;
    onReport(await testbed.traffic.report());
  }
  return undefined;
}

function inWords({ sent, received, lost, latency_us: latency }: TrafficReport): string {
  const us = (value: number | null): string => (value === null ? '-' : `${value.toFixed(0)} us`);
  return `sent ${sent}  received ${received}  lost ${lost}  p50 ${us(latency.p50)}  p99 ${us(latency.p99)}`;
}
