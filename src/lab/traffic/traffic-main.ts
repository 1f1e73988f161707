/**
 * The traffic process: threads that send, receive and probe, and this one, which only answers its owner. It speaks over the
 * IPC channel and ends with it, so it cannot outlive its owner.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { NemoError } from '../../model/errors.js';
import { LatencyBuckets } from '../../model/latency-buckets.js';
import type { GeneratorCommand, GeneratorReply } from './generator.js';
import {
  errorFromWire,
  errorToWire,
  type Quantiles,
  type TrafficProcessOptions,
  type TrafficReply,
  type TrafficReport,
  type TrafficRequest,
} from './spec.js';
import { Count, TrafficState, Word } from './state.js';
import type { TrafficWorkerData, TrafficWorkerNotice } from './traffic-worker.js';

type Acknowledged = Extract<GeneratorReply, { atNs: number }>;

const state = new TrafficState();
const waiting: Array<(reply: GeneratorReply) => void> = [];
let generator: Worker | undefined;

function tell(reply: TrafficReply): void {
  process.send?.(reply);
}

/** Starts one thread; resolves when it has its sockets. */
function startWorker(role: TrafficWorkerData['role'], options: TrafficProcessOptions): Promise<Worker> {
  const data: TrafficWorkerData = { role, shared: state.shared, near: options.near, far: options.far };
  const worker = new Worker(new URL('./traffic-worker.js', import.meta.url), {
    workerData: data,
    name: `traffic-${role}`,
  });
  return new Promise((resolve, reject) => {
    worker.on('message', (message: TrafficWorkerNotice | GeneratorReply) => {
      if ('ready' in message) resolve(worker);
      else if ('failed' in message) {
        reject(errorFromWire(message.failed));
        tell({ fatal: message.failed });
      } else if (message.op === 'ended') tell({ ended: true });
      else waiting.shift()?.(message);
    });
    worker.on('error', (error) => {
      reject(error);
      tell({ fatal: errorToWire(error) });
    });
  });
}

/** Gives the generator a command. Its answers come in order. */
async function command(message: GeneratorCommand): Promise<Acknowledged> {
  if (generator === undefined) throw new NemoError('INTERNAL', 'the traffic process was not opened');
  const answered = new Promise<GeneratorReply>((resolve) => waiting.push(resolve));
  generator.postMessage(message);
  Atomics.add(state.words, Word.commands, 1);
  Atomics.notify(state.words, Word.commands);
  const reply = await answered;
  if ('error' in reply) throw errorFromWire(reply.error);
  return reply as Acknowledged;
}

/** One measuring window. */
class Window {
  /** These two histograms count up for ever: the window is what was added. */
  private readonly lateness = new Uint32Array(state.lateness);
  private readonly noise = new Uint32Array(state.noise);
  private readonly missedBefore = state.get(Count.missed);
  private readonly number = Atomics.load(state.words, Word.window);

  private constructor(private readonly opened: Acknowledged) {}

  static async open(): Promise<Window> {
    state.set(Count.latenessMaxNs, 0);
    state.set(Count.noiseMaxNs, 0);
    return new Window(await command({ op: 'open' }));
  }

  async report(drainMs: number): Promise<TrafficReport> {
    const closed = await command({ op: 'close' });
    const [lateness, noise] = [new LatencyBuckets(), new LatencyBuckets()];
    lateness.addDifference(state.lateness, this.lateness);
    noise.addDifference(state.noise, this.noise);
    await delay(drainMs);
    // The receiver starts a window's counts at its first frame: without one, they are still those of an older one.
    const any = state.get(Count.receiverWindow) === this.number;
    const count = (counter: number) => (any ? state.get(counter) : 0);
    const transit = any ? new LatencyBuckets(new Uint32Array(state.transit)) : new LatencyBuckets();
    const seconds = (closed.atNs - this.opened.atNs) / 1e9;
    const sent = closed.sent - this.opened.sent;
    const received = count(Count.received);
    return {
      seconds,
      sent,
      received,
      lost: sent - received,
      duplicates: count(Count.duplicates),
      reordered: count(Count.reordered),
      rate: sent / seconds,
      notSent: closed.notSent - this.opened.notSent,
      missedByReceiver: state.get(Count.missed) - this.missedBefore,
      latency_us: quantiles(transit, count(Count.transitMaxNs)),
      latency_cdf: transit.cdf().map(([ns, share]) => [ns / 1e3, share]),
      lateness_us: quantiles(lateness, state.get(Count.latenessMaxNs)),
      noise_us: quantiles(noise, state.get(Count.noiseMaxNs)),
    };
  }
}

function quantiles(buckets: LatencyBuckets, maxNs: number): Quantiles {
  const total = buckets.total();
  if (total === 0) return { p50: null, p90: null, p99: null, p999: null, max: null };
  // A bucket's middle may lie above the true maximum.
  const us = (quantile: number) => Math.min(buckets.quantileNs(quantile, total), maxNs) / 1e3;
  return { p50: us(0.5), p90: us(0.9), p99: us(0.99), p999: us(0.999), max: maxNs / 1e3 };
}

let window: Window | undefined;

async function answer(request: TrafficRequest): Promise<unknown> {
  switch (request.op) {
    case 'open': {
      const { options } = request;
      const [sender] = await Promise.all([
        startWorker('generator', options),
        startWorker('receiver', options),
        options.noiseProbe ? startWorker('noise', options) : undefined,
      ]);
      generator = sender;
      return undefined;
    }
    case 'run':
      await command({ op: 'run', spec: request.spec });
      return undefined;
    case 'stop':
      await command({ op: 'stop' });
      return undefined;
    case 'mark':
      window = await Window.open();
      return undefined;
    case 'report': {
      if (window === undefined)
        throw new NemoError('BAD_REQUEST', 'no measuring window is open', { hint: 'mark first' });
      const open = window;
      window = undefined;
      return open.report(request.drainMs);
    }
    case 'totals':
      return {
        sent: state.get(Count.sent),
        notSent: state.get(Count.skipped) + state.get(Count.ringFull),
        foreign: state.get(Count.foreign),
      };
  }
}

process.on('disconnect', () => process.exit(0));
process.on('message', (request: TrafficRequest) => {
  answer(request).then(
    (result) => tell({ id: request.id, result }),
    (thrown) => tell({ id: request.id, error: errorToWire(thrown) }),
  );
});
