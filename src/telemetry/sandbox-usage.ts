/** Memory and CPU of each sandbox, once a second while somebody looks, by the collector that fits it. */

import type { Instance } from '../pool/instance.js';
import { FEED } from '../tunables/index.js';
import { perfCollectors } from './perf/catalogue.js';
import type { PerfCollector, PerfSample } from './perf/collector.js';

const NONE: PerfSample = { memoryBytes: 0, cpuRatio: 0 };

interface Running {
  readonly collector: PerfCollector;
  running: boolean;
}

export class SandboxUsage {
  private readonly collectors: Running[];
  private readonly known = new Map<string, PerfSample>();
  private nextMs = 0;

  constructor(collectors: readonly PerfCollector[] = perfCollectors()) {
    this.collectors = collectors.map((collector) => ({ collector, running: false }));
  }

  of(sandboxId: string): PerfSample {
    return this.known.get(sandboxId) ?? NONE;
  }

  /** Starts a look if the last one is old enough; never waits for it. */
  sample(workers: Iterable<Instance>): void {
    const nowMs = performance.now();
    if (nowMs < this.nextMs) return;
    this.nextMs = nowMs + FEED.usagePeriodMs;
    const ids = new Set<string>();
    const ofEach = new Map(this.collectors.map((one) => [one, [] as Instance[]]));
    for (const worker of workers) {
      if (worker.sandbox === undefined) continue;
      ids.add(worker.id);
      const fitting = this.collectors.find(({ collector }) => collector.fits(worker));
      if (fitting !== undefined) ofEach.get(fitting)!.push(worker);
    }
    for (const id of this.known.keys()) if (!ids.has(id)) this.known.delete(id);
    for (const [one, fitting] of ofEach) if (!one.running) void this.collect(one, fitting, nowMs);
  }

  private async collect(one: Running, workers: readonly Instance[], nowMs: number): Promise<void> {
    one.running = true;
    try {
      for (const [id, usage] of await one.collector.collect(workers, nowMs)) this.known.set(id, usage);
    } catch {
      // Every process was gone: the next look sees the new ones.
    } finally {
      one.running = false;
    }
  }

  close(): void {
    for (const { collector } of this.collectors) collector.close();
  }
}
