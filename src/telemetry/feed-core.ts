/** One core in a frame of the feed: what the control loop writes to the board of it, in words and shares. */

import { type Board, Core, type CoreField, HORIZON_FIELDS } from '../model/board.js';
import type { FeedCore } from '../model/feed.js';
import { LADDER } from '../policy/conflict/ladder.js';
import { PREDICTOR_NAMES } from '../policy/harvest/prediction/predictor.js';
import { CONTROL, PREDICTION } from '../tunables/index.js';

type Get = (field: CoreField) => number;

export interface CoreSources {
  board: Board;
  /** It is a function core. */
  harvested: boolean;
  /** As /proc/stat has it. */
  idleShare: number;
  /** Who takes all of it, in words. */
  takenBy: string | undefined;
  running: FeedCore['running'];
}

export function feedCore(core: number, sources: CoreSources): FeedCore {
  const { board, harvested, idleShare, takenBy, running } = sources;
  const get: Get = (field) => board.get(core, field);
  const seconds = (field: CoreField): number => get(field) / 1e9;
  const nfRatio = get(Core.nfRatio);
  const functionRatio = Math.min(1 - nfRatio, get(Core.functionRatio));
  // /proc/stat counts in hundredths of a second: what it calls idle may be a little more than what is left.
  const idleRatio = Math.min(1 - nfRatio - functionRatio, idleShare);
  const level = get(Core.throttleLevel);
  const sloUs = get(Core.sloUs);
  const latency = (field: CoreField): number | null => {
    const value = get(field);
    return Number.isFinite(value) && value > 0 ? value : null;
  };
  return {
    core,
    role: roleOf(get, harvested),
    nfRatio,
    functionRatio,
    idleRatio,
    otherRatio: Math.max(0, 1 - nfRatio - functionRatio - idleRatio),
    predictedSpareRatio: get(Core.predictedSpareRatio),
    ...predictionOf(get),
    unmeetable: get(Core.unmeetable) === 1,
    acquitted: get(Core.acquitted) === 1,
    ...(takenBy === undefined ? {} : { takenBy }),
    ...idleWindowsOf(get),
    hostStalls: get(Core.hostStalls),
    p50Us: latency(Core.p50Us),
    p99Us: latency(Core.p99Us),
    sloUs: sloUs > 0 ? sloUs : null,
    throttleLevel: level,
    throttleName: LADDER[level]?.name ?? String(level),
    running,
    totals: {
      wallS: seconds(Core.wallNs),
      nfS: seconds(Core.nfNs),
      functionS: seconds(Core.functionNs),
      spareS: seconds(Core.spareNs),
      harvestedS: seconds(Core.harvestedNs),
      throttledS: seconds(Core.throttledNs),
    },
    conflicts: get(Core.conflicts),
    ...gateOf(get),
  };
}

function roleOf(get: Get, harvested: boolean): FeedCore['role'] {
  if (get(Core.hasNf) === 1) return 'nf';
  if (!harvested) return 'housekeeping';
  return get(Core.taken) === 1 ? 'taken' : 'free';
}

function idleWindowsOf(get: Get): Pick<FeedCore, 'idleWindows'> {
  const p50Us = get(Core.idleWindowP50Us);
  return p50Us > 0 ? { idleWindows: { p50Us, p90Us: get(Core.idleWindowP90Us) } } : {};
}

function gateOf(get: Get): Pick<FeedCore, 'gate'> {
  if (get(Core.gated) !== 1) return {};
  const [sliceUs, periodUs] = [get(Core.gateSliceUs), get(Core.gatePeriodUs)];
  return { gate: { sliceUs, periodUs, lentRatio: get(Core.gateLentRatio) } };
}

function predictionOf(get: Get): Pick<FeedCore, 'prediction' | 'predictions'> {
  const predictor = PREDICTOR_NAMES[get(Core.predictor)];
  if (predictor === undefined || get(Core.wallNs) === 0) return {};
  const horizonMs = (PREDICTION.horizonTicks[PREDICTION.placementHorizon] * CONTROL.periodUs) / 1000;
  const spareRatioP10 = get(Core.predictedP10);
  const predictions = PREDICTION.horizonTicks.map((ticks, i) => {
    const at = Core.horizons + i * HORIZON_FIELDS;
    return {
      predictor: PREDICTOR_NAMES[get(at as CoreField)] ?? '',
      horizonMs: (ticks * CONTROL.periodUs) / 1000,
      spareRatioP10: get((at + 1) as CoreField),
      coverage: get((at + 2) as CoreField),
    };
  });
  const coverage = get(Core.predictionCoverage);
  return { prediction: { predictor, horizonMs, spareRatioP10, coverage }, predictions };
}
