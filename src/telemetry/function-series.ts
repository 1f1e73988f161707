/**
 * What /metrics tells of functions, as Prometheus' text. Written here and not by prom-client, which hashes the labels of
 * each value; and some functions at a time, with rests between: of ten thousand, all at once kept the gateway's thread from
 * calls for more than a second.
 */

import { setTimeout as delay } from 'node:timers/promises';
import type { FeedFunction } from '../model/feed.js';
import { METRICS } from '../tunables/index.js';
import { type FunctionCounts, SECONDS_BOUNDS } from './call-counts.js';

type Line = (labels: string, value: number, suffix?: string) => string;

/** Names of functions need no escapes. */
export async function functionSeries(
  functions: readonly FeedFunction[],
  calls: ReadonlyMap<string, FunctionCounts>,
): Promise<string> {
  const counted = [...calls];
  const nameOf = ({ name }: FeedFunction): string => `function="${name}"`;
  return [
    await family('nemo_function_queued', 'gauge', 'Calls that wait', functions, (fn, line) =>
      line(nameOf(fn), fn.queued),
    ),
    await family('nemo_function_in_flight', 'gauge', 'Calls that run', functions, (fn, line) =>
      line(nameOf(fn), fn.inFlight),
    ),
    await family(
      ...(['nemo_function_sandboxes', 'gauge', 'Sandboxes of the function by state', functions] as const),
      (fn, line) => {
        const states = new Map<string, number>();
        for (const { state } of fn.sandboxes) states.set(state, (states.get(state) ?? 0) + 1);
        return [...states].map(([state, count]) => line(`${nameOf(fn)},state="${state}"`, count)).join('');
      },
    ),
    await family(
      ...(['nemo_function_invocations_total', 'counter', 'Calls by how they ended', counted] as const),
      ([name, { ok, failed }], line) =>
        [['ok', ok] as const, ...failed]
          .map(([outcome, count]) => line(`function="${name}",outcome="${outcome}"`, count))
          .join(''),
    ),
    await family(
      ...(['nemo_function_seconds', 'histogram', HISTOGRAM_HELP, counted] as const),
      ([name, counts], line) => histogram(`function="${name}"`, counts, line),
    ),
  ].join('\n');
}

const HISTOGRAM_HELP = 'Time of a call from its acceptance to its last byte';

function histogram(labels: string, { buckets, sumS, count }: FunctionCounts, line: Line): string {
  let text = '';
  let below = 0;
  buckets.forEach((inBucket, i) => {
    below += inBucket;
    text += line(`${labels},le="${SECONDS_BOUNDS[i] ?? '+Inf'}"`, below, '_bucket');
  });
  return text + line(labels, sumS, '_sum') + line(labels, count, '_count');
}

async function family<T>(
  name: string,
  type: string,
  help: string,
  all: readonly T[],
  linesOf: (one: T, line: Line) => string,
): Promise<string> {
  const line: Line = (labels, value, suffix = '') => `${name}${suffix}{${labels}} ${value}\n`;
  let text = `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n`;
  for (let at = 0; at < all.length; at += METRICS.functionsAtOnce) {
    const fromMs = performance.now();
    for (const one of all.slice(at, at + METRICS.functionsAtOnce)) text += linesOf(one, line);
    if (all.length > METRICS.functionsAtOnce) await delay((performance.now() - fromMs) * METRICS.restTimes);
  }
  return text;
}
