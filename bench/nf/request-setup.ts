/** Beds of NFs that end connections, under an open loop of HTTP requests: nginx and haproxy. */

import { listPids, processStat } from '../../src/linux/process.js';
import { cpuTimeNs } from '../cpu-time.js';
import { HttpLoad } from '../http-load.js';
import { startHaproxy } from './haproxy.js';
import { BACKEND_ADDRESS, createHttpSetup, NF_ADDRESS } from './http-setup.js';
import { startNginx } from './nginx.js';
import type { TestSetup } from './test-setup.js';

/** The client, and for haproxy the server behind it, share a core with the agent. */
const REQUESTS_PER_S_MAX = { nginx: 3_000, haproxy: 2_000 };
/** Mean length of a burst and of the pause after it. */
const BURST_MS = 20;

export async function createRequestSetup(
  nf: 'nginx' | 'haproxy',
  cpu: number,
  housekeepingCpu: number,
): Promise<TestSetup> {
  const bed = await createHttpSetup();
  const closers: Array<() => Promise<void>> = [() => bed.close()];
  const close = async (): Promise<void> => {
    for (const one of closers.splice(0).reverse()) await one();
  };
  try {
    const server =
      nf === 'nginx' ? await startNginx(bed, cpu, { compress: true }) : await startHaproxy(bed, cpu);
    closers.push(() => server.close());
    const pid =
      nf === 'nginx' ? listPids().find((one) => processStat(one)?.parentPid === server.pid)! : server.pid;
    let load: HttpLoad | undefined;
    closers.push(async () => load?.close());
    return {
      config: {},
      nfCost: nf === 'nginx' ? 'every answer is 64 KB of text, compressed by gzip' : null,
      perSMax: REQUESTS_PER_S_MAX[nf],
      found: (frame) => frame.nfs.some((one) => one.pid === pid),
      cpuTime: () => cpuTimeNs(pid, cpu),
      async run({ perS, pattern }) {
        await load?.close();
        load = await HttpLoad.start({
          namespace: bed.client,
          cpu: housekeepingCpu,
          url: `http://${NF_ADDRESS}:8080/`,
          requestsPerS: perS!,
          connections: 32,
          headers: { 'accept-encoding': 'gzip' },
          ...(pattern === 'bursty' ? { burstMs: BURST_MS } : {}),
          ...(nf === 'haproxy' ? { backend: { host: BACKEND_ADDRESS, port: 8000 } } : {}),
        });
      },
      async measure(seconds) {
        await load!.take();
        await new Promise((done) => setTimeout(done, seconds * 1000));
        const { completed, failed, latencyUs, latencyCdf, notSent } = await load!.take();
        const sent = completed + failed;
        return {
          nf: { sent, received: completed, lost: failed, latency_us: latencyUs, latency_cdf: latencyCdf },
          notSentRatio: notSent / Math.max(1, sent + notSent),
          host_noise_p99_us: null,
          generator_lateness_p99_us: null,
        };
      },
      close,
    };
  } catch (thrown) {
    await close();
    throw thrown;
  }
}
