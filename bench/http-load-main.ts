/** The process of an HTTP load: open loop, so that a slow server does not slow its clients down and hide it. */

import { createServer } from 'node:http';
import { createHistogram } from 'node:perf_hooks';
import { Pool } from 'undici';
import { setScheduling } from '../src/linux/sched.js';
import { Random } from '../src/packet/random.js';
import { TRAFFIC } from '../src/tunables/index.js';
import type { HttpLoadOptions, HttpLoadReport } from './http-load.js';
import { cdfOf } from './statistics.js';

const options = JSON.parse(process.argv[2]!) as Omit<HttpLoadOptions, 'namespace' | 'cpu'>;
/** Longer than any stall of this machine: a request without an answer by then has failed. */
const TIMEOUT_MS = 3_000;

// As the packet generator: before the agent and the callers that share its core, or their load would read as the NF's.
setScheduling(0, { policy: 'fifo', priority: TRAFFIC.generatorFifoPriority, resetOnFork: true });

const latencyNs = createHistogram({ lowest: 1, highest: 60e9, figures: 3 });
let completed = 0;
let failed = 0;
let firstError: string | null = null;
let notSent = 0;

function take(): HttpLoadReport {
  const us = (percentile: number) => latencyNs.percentile(percentile) / 1e3;
  const [p50Us, p99Us] = [us(50), us(99)];
  const latencyUs = { p50: p50Us, p90: us(90), p99: p99Us, p999: us(99.9), max: latencyNs.max / 1e3 };
  const latencyCdf = cdfOf(latencyNs, 1e3);
  const report = { completed, failed, firstError, p50Us, p99Us, latencyUs, latencyCdf, notSent };
  notSent = 0;
  completed = 0;
  failed = 0;
  firstError = null;
  latencyNs.reset();
  return report;
}

const url = new URL(options.url);
const { headers = {}, burstMs } = options;
const pool = new Pool(url.origin, {
  connections: options.connections,
  headersTimeout: TIMEOUT_MS,
  bodyTimeout: TIMEOUT_MS,
});

async function ask(): Promise<void> {
  const from = performance.now();
  try {
    const reply = await pool.request({ path: url.pathname, method: 'GET', headers });
    await reply.body.dump();
    if (reply.statusCode !== 200) throw new Error(`HTTP ${reply.statusCode}`);
    completed++;
    latencyNs.record(Math.max(1, Math.round((performance.now() - from) * 1e6)));
  } catch (thrown) {
    failed++;
    firstError ??= String(thrown);
  }
}

const { backend } = options;
if (backend !== undefined) {
  const server = createServer((_request, response) => response.end('the backend answers\n'));
  server.keepAliveTimeout = 60_000;
  await new Promise<void>((resolve) => server.listen(backend.port, backend.host, resolve));
}
process.on('message', () => process.send!(take()));
await ask();
process.send!(take());

/** Time in which requests are due: with bursts, only those, and at twice the rate. */
const random = new Random(1);
let dueMs = 0;
let last = performance.now();
let on = true;
let phaseEnd = last + (burstMs === undefined ? Number.POSITIVE_INFINITY : random.exponential(burstMs));
let sent = 0;
setInterval(() => {
  const now = performance.now();
  if (on) dueMs += (now - last) * (burstMs === undefined ? 1 : 2);
  last = now;
  if (now >= phaseEnd) {
    on = !on;
    phaseEnd = now + random.exponential(burstMs!);
  }
  const due = Math.floor((dueMs / 1e3) * options.requestsPerS);
  // After a stall of this process no flood: what is more than 50 ms late is not sent.
  const late = due - sent - Math.ceil(options.requestsPerS / 20);
  if (late > 0) {
    notSent += late;
    sent += late;
  }
  for (; sent < due; sent++) void ask();
}, 2);
