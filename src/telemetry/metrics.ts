/**
 * What Prometheus sees: counts of calls, and everything else read from the newest feed frame at the moment of the
 * scrape. So /metrics, the console and `nemo top` can never disagree. Loaded at the first scrape: a box that nobody
 * scrapes does not pay for it.
 */

import { Counter, collectDefaultMetrics, Gauge, Registry } from 'prom-client';
import type { FeedCore, FeedFrame } from '../model/feed.js';
import type { CallCounts } from './call-counts.js';
import { functionSeries } from './function-series.js';

/** The event loop's delay is sampled this often; prom-client's 10 ms would wake an idle agent 100 times a second. */
const EVENT_LOOP_SAMPLE_MS = 100;

export interface Metrics {
  readonly contentType: string;
  /** The text of one scrape; whoever asks while one is under way gets that one. */
  scrape(): Promise<string>;
}

type Value = [labels: Record<string, string | number>, value: number | null];

export function createMetrics(frame: () => FeedFrame, calls: CallCounts): Metrics {
  const registry = new Registry();
  // All metrics of one scrape tell of the same frame.
  let scraped: FeedFrame;

  const gauge = (
    name: string,
    help: string,
    labelNames: string[],
    values: (f: FeedFrame) => Value[],
  ): void => {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, value] of values(scraped)) if (value !== null) this.set(labels, value);
      },
    });
  };
  const counter = (name: string, help: string, labelNames: string[], values: () => Value[]): void => {
    new Counter({
      name,
      help,
      labelNames,
      registers: [registry],
      collect() {
        this.reset();
        for (const [labels, value] of values()) if (value !== null) this.inc(labels, value);
      },
    });
  };
  const perCore = (f: FeedFrame, value: (core: FeedCore) => number | null): Value[] =>
    f.cores.map((core) => [{ core: core.core }, value(core)]);

  counter('nemo_starts_total', 'Calls by how ready their sandbox was', ['kind'], () =>
    Object.entries(calls.starts).map(([kind, count]) => [{ kind }, count]),
  );
  counter(
    'nemo_calls_total',
    'Calls by where they came from: sync ones are waited for',
    ['source', 'mode'],
    () =>
      Object.entries(calls.sources).flatMap(([source, modes]) =>
        Object.entries(modes).map(([mode, count]): Value => [{ source, mode }, count]),
      ),
  );

  gauge('nemo_core_nf_ratio', 'Share of the core that NFs used', ['core'], (f) =>
    perCore(f, (c) => c.nfRatio),
  );
  gauge('nemo_core_function_ratio', 'Share of the core that functions used', ['core'], (f) =>
    perCore(f, (c) => c.functionRatio),
  );
  gauge('nemo_core_idle_ratio', 'Share of the core that nobody used', ['core'], (f) =>
    perCore(f, (c) => c.idleRatio),
  );
  gauge('nemo_core_predicted_spare_ratio', 'Share that the NFs will not need', ['core'], (f) =>
    perCore(f, (c) => c.predictedSpareRatio),
  );
  gauge('nemo_core_throttle_level', '0 full harvest, higher is less', ['core'], (f) =>
    perCore(f, (c) => c.throttleLevel),
  );
  gauge('nemo_core_slo_us', 'Strictest p99 packet latency wanted on the core', ['core'], (f) =>
    perCore(f, (c) => c.sloUs),
  );
  gauge('nemo_core_latency_us', 'Packet latency on the core', ['core', 'quantile'], (f) =>
    f.cores.flatMap(({ core, p50Us, p99Us }): Value[] => [
      [{ core, quantile: '0.5' }, p50Us],
      [{ core, quantile: '0.99' }, p99Us],
    ]),
  );
  counter('nemo_core_conflicts_total', 'Conflicts between packets and functions', ['core'], () =>
    perCore(scraped, (c) => c.conflicts),
  );
  counter('nemo_core_seconds_total', 'Time of the core by what it went to', ['core', 'kind'], () =>
    scraped.cores.flatMap(({ core, totals: t }): Value[] => [
      [{ core, kind: 'wall' }, t.wallS],
      [{ core, kind: 'nf' }, t.nfS],
      [{ core, kind: 'function' }, t.functionS],
      [{ core, kind: 'spare' }, t.spareS],
      [{ core, kind: 'harvested' }, t.harvestedS],
      [{ core, kind: 'throttled' }, t.throttledS],
    ]),
  );
  gauge('nemo_nf_latency_us', 'Packet latency of the NF', ['nf', 'quantile'], (f) =>
    f.nfs.flatMap(({ id, p50Us, p99Us, p999Us }): Value[] => [
      [{ nf: id, quantile: '0.5' }, p50Us],
      [{ nf: id, quantile: '0.99' }, p99Us],
      [{ nf: id, quantile: '0.999' }, p999Us],
    ]),
  );
  gauge('nemo_nf_slo_us', 'Wanted p99 packet latency of the NF', ['nf'], (f) =>
    f.nfs.map((nf) => [{ nf: nf.id }, nf.sloUs]),
  );
  gauge('nemo_nf_up', '1 while the NF runs', ['nf'], (f) =>
    f.nfs.map((nf) => [{ nf: nf.id }, nf.state === 'running' ? 1 : 0]),
  );
  gauge('nemo_stems', 'Sandboxes that wait without code', [], (f) => [[{}, f.agent.stems]]);
  gauge('nemo_loop_lateness_p99_us', 'How late the control loop ticks', [], (f) => [
    [{}, f.agent.loop.latenessP99Us],
  ]);
  gauge('nemo_loop_cost_ratio', 'Share of one core that the control loop uses', [], (f) => [
    [{}, f.agent.loop.costRatio],
  ]);
  gauge('nemo_reaction_us', 'From a conflict to the applied throttle', ['since', 'quantile'], (f) => {
    const { reactions } = f.agent;
    if (reactions === undefined) return [];
    const { p50Us, p99Us, packet } = reactions;
    return [
      [{ since: 'tick', quantile: '0.5' }, p50Us],
      [{ since: 'tick', quantile: '0.99' }, p99Us],
      ...(packet === undefined
        ? []
        : ([
            [{ since: 'packet', quantile: '0.5' }, packet.p50Us],
            [{ since: 'packet', quantile: '0.99' }, packet.p99Us],
            [{ since: 'slo', quantile: '0.5' }, packet.overSloP50Us],
            [{ since: 'slo', quantile: '0.99' }, packet.overSloP99Us],
            [{ since: 'known', quantile: '0.5' }, packet.knownP50Us],
            [{ since: 'known', quantile: '0.99' }, packet.knownP99Us],
          ] satisfies Value[])),
    ];
  });
  gauge('nemo_feed_slow_readers', 'Readers of the feed that lost frames', [], (f) => [
    [{}, f.agent.slowReaders],
  ]);
  collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision: EVENT_LOOP_SAMPLE_MS });

  const write = async (): Promise<string> => {
    scraped = frame();
    return `${await registry.metrics()}\n${await functionSeries(scraped.functions, calls.functions)}`;
  };
  let underWay: Promise<string> | undefined;
  return {
    contentType: registry.contentType,
    scrape() {
      underWay ??= write().finally(() => {
        underWay = undefined;
      });
      return underWay;
    },
  };
}
