/**
 * The demo: a real NF in its own namespace forwards real traffic on the last core, an agent harvests that core,
 * and sample functions are called without pause. Everything ends with this process, however that ends.
 */

import { once } from 'node:events';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { WebSocket } from 'ws';
import { allowedCores, requireTwoCores } from '../../linux/allowed-cores.js';
import { getAffinity, setProcessAffinity } from '../../linux/sched.js';
import { NemoError } from '../../model/errors.js';
import type { FeedCore, FeedFrame } from '../../model/feed.js';
import { AgentProcess } from '../agent-process.js';
import { Callers } from '../callers.js';
import { createTestbed, type Testbed } from '../testbed.js';
import type { TrafficSpec } from '../traffic/spec.js';
import { demoFunctions } from './functions.js';
import { summarizeDemo } from './summary.js';

export interface DemoOptions {
  seconds: number;
  policy: string;
  /** HTTP port of the agent; 0 takes any. */
  port: number;
  /** Packets of the capture a second; 0: at the capture's own pace. */
  packetsPerS: number;
  /** A capture of the user's own, an absolute path; by default the one that NEMO brings. */
  capture?: string;
  say: (line: string) => void;
  /** Once the page can be opened. */
  onUrl: (url: string) => void;
  onFrame: (frame: FeedFrame) => void;
  /** Ends the demo early. */
  signal: AbortSignal;
}

const CAPTURE = fileURLToPath(new URL('../../../../data/openNetVM-64B_download.pcap', import.meta.url));
const WARM_UP_S = 2;
const SOLO_S = 3;

/** Undefined if it was ended before a function ran. */
export async function runDemo(options: DemoOptions): Promise<ReturnType<typeof summarizeDemo> | undefined> {
  const allowed = allowedCores();
  requireTwoCores('the demo', allowed);
  const cores = allowed.byDefault;
  await expectFreePort(options.port);
  const { signal } = options;
  const nfCore = cores.at(-1)!;
  const closers: Array<() => Promise<void>> = [];
  const before = getAffinity(process.pid);
  closers.push(async () => setProcessAffinity(process.pid, before));
  try {
    setProcessAffinity(process.pid, [cores[0]!]);
    options.say(`two network namespaces, a firewall between them on core ${nfCore} ...`);
    const testbed = await createTestbed({
      nfProfile: 'firewall',
      mode: 'sleep',
      cpu: nfCore,
      housekeepingCpu: cores[0]!,
    });
    closers.push(() => testbed.close());
    await testbed.traffic.run(trafficOf(options));
    // The NF's code is interpreted at first and compiled after some thousand packets.
    await pause(WARM_UP_S * 1000, signal);
    if (signal.aborted) return undefined;
    options.say(`captured traffic flows; the NF alone for ${SOLO_S} s, to compare with ...`);
    const solo = await measureSolo(testbed, signal);
    if (signal.aborted) return undefined;

    options.say('starting the agent ...');
    const agent = await AgentProcess.start({
      policy: options.policy,
      http: { port: options.port },
      cores: { functions: [nfCore], housekeeping: cores.filter((core) => core !== nfCore) },
      // By its pid: a node in somebody's home folder is not believed to be an NF by its name.
      nfs: [{ profile: 'firewall', pid: testbed.nfPid }],
    });
    closers.push(() => agent.stop());
    const functions = demoFunctions();
    for (const { name, code } of functions) await agent.deploy(name, code, { filename: `${name}.ts` });
    await agent.until((frame) => signal.aborted || frame.nfs.some((nf) => nf.p99Us !== null), 5_000);
    if (signal.aborted) return undefined;
    options.onUrl(agent.url);

    const before = coreOf(await agent.status(), nfCore);
    await testbed.traffic.mark();
    for (const { path, callers: count } of functions) {
      const callers = new Callers(agent.url, count);
      callers.start(path);
      closers.push(() => callers.stop());
    }
    await watch(agent, options);
    const frame = await agent.status();
    const report = await testbed.traffic.report();
    const nf = frame.nfs.find((one) => one.pid === testbed.nfPid);
    if (nf === undefined) throw new NemoError('INTERNAL', 'the NF ended during the demo');
    return summarizeDemo(frame, nf, before, coreOf(frame, nfCore), report, solo);
  } finally {
    for (const close of closers.reverse()) await close().catch(() => undefined);
  }
}

/** The agent would say it too, but only when everything else is built. */
async function expectFreePort(port: number): Promise<void> {
  const probe = createServer();
  try {
    probe.listen(port, '127.0.0.1');
    await once(probe, 'listening');
  } catch (cause) {
    throw new NemoError('PORT_IN_USE', `another program listens on port ${port} of 127.0.0.1`, {
      hint: `give another one with --port; 'ss -ltnp sport = :${port}' names the program`,
      cause,
    });
  } finally {
    probe.close();
  }
}

function coreOf(frame: FeedFrame, core: number): FeedCore {
  return frame.cores.find((one) => one.core === core)!;
}

function trafficOf({ packetsPerS, capture = CAPTURE }: DemoOptions): TrafficSpec {
  return { kind: 'capture', path: capture, ...(packetsPerS === 0 ? {} : { packetsPerS }) };
}

async function measureSolo(testbed: Testbed, signal: AbortSignal): Promise<{ p99Us: number | null }> {
  await testbed.traffic.mark();
  await pause(SOLO_S * 1000, signal);
  return { p99Us: (await testbed.traffic.report()).latency_us.p99 };
}

/** Shows frames of the feed until the time is over. */
async function watch(agent: AgentProcess, options: DemoOptions): Promise<void> {
  const feed = new WebSocket(new URL('/feed', agent.url.replace(/^http/, 'ws')));
  feed.on('message', (data) => options.onFrame(JSON.parse(data.toString()) as FeedFrame));
  // An agent that ends is told by the status request that comes next.
  feed.on('error', () => undefined);
  await pause(options.seconds * 1000, options.signal);
  feed.terminate();
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted || ms <= 0) return resolve();
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    signal.addEventListener('abort', done);
  });
}
