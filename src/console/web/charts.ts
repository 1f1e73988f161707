/**
 * The two charts of a lane, as uPlot options over one LaneView: shares of the core (stacked by painting the highest
 * top first), and packet latency on a log axis with its SLO. Throttled stretches are shaded in both.
 */

import type uPlot from 'uplot';
import { micros } from './format.js';
import { type LaneView, latencyBounds, SPAN_MS, throttledStretches } from './history.js';
import { type ColourName, colour, FONT, throttleHatch } from './palette.js';

const SPAN_S = SPAN_MS / 1_000;
const AXIS_WIDTH = 58;
/** Height of the solid bar over a throttled stretch, CSS pixels. */
const THROTTLE_BAR = 6;

export function shareData(view: LaneView): uPlot.AlignedData {
  return [view.xS, view.idleTop, view.otherTop, view.functionTop, view.nfTop];
}

export function latencyData(view: LaneView): uPlot.AlignedData {
  return [view.xS, view.sloUs, view.p99Us, view.p50Us];
}

export function shareOptions(
  view: LaneView,
  width: number,
  height: number,
  onCursor: OnCursor,
): uPlot.Options {
  return {
    ...common(width, height),
    padding: [8, 20, 6, 0],
    drawOrder: ['series', 'axes'] as uPlot.DrawOrderKey[],
    scales: { x: X_SCALE, y: { range: [0, 1] } },
    axes: [
      xAxis(false),
      { ...yAxis([0, 0.5, 1]), values: (_u, splits) => splits.map((v) => `${v * 100} %`) },
    ],
    series: [{}, area('idle'), area('other'), area('function'), area('nf')],
    hooks: { draw: [(u) => shadeThrottled(u, view, 0.55, true)], setCursor: [onCursor] },
  };
}

export function latencyOptions(
  view: LaneView,
  width: number,
  height: number,
  onCursor: OnCursor,
): uPlot.Options {
  return {
    ...common(width, height),
    padding: [8, 20, 0, 0],
    scales: {
      x: X_SCALE,
      y: { distr: 3, log: 10, range: () => latencyBounds(view.latencyMinUs, view.latencyMaxUs) },
    },
    axes: [xAxis(true), { ...yAxis(logSplits), filter: (_u, splits) => splits, values: latencyLabels }],
    series: [{}, line('slo', 1.5, [6, 4]), line('p99', 1.8), line('p50', 1.4)],
    hooks: {
      drawClear: [(u) => shadeThrottled(u, view, 0.16, false)],
      draw: [(u) => labelSlo(u, view)],
      setCursor: [onCursor],
    },
  };
}

export type OnCursor = (chart: uPlot) => void;

const X_SCALE: uPlot.Scale = { time: false, range: [-SPAN_S, 0] };

function common(width: number, height: number): Omit<uPlot.Options, 'series'> {
  return {
    width,
    height,
    legend: { show: false },
    cursor: {
      y: false,
      points: { show: false },
      drag: { x: false, y: false, setScale: false },
      // One hair line through all lanes: what happened on the other cores at that moment?
      sync: { key: 'nemo', setSeries: false },
    },
  };
}

function area(name: ColourName): uPlot.Series {
  return { fill: () => colour(name), width: 0, points: { show: false } };
}

function line(name: ColourName, width: number, dash?: number[]): uPlot.Series {
  return { stroke: () => colour(name), width, points: { show: false }, ...(dash ? { dash } : {}) };
}

function axis(): uPlot.Axis {
  return {
    font: FONT,
    stroke: () => colour('text-muted'),
    grid: { stroke: () => colour('grid'), width: 1 },
    ticks: { show: false },
    gap: 6,
  };
}

function xAxis(labels: boolean): uPlot.Axis {
  return {
    ...axis(),
    size: labels ? 24 : 0,
    splits: (u) => (u.width < 480 ? [-60, -30, 0] : [-60, -50, -40, -30, -20, -10, 0]),
    // The first label would run into the y axis.
    values: (_u, splits) =>
      splits.map((s) => (!labels || s === -SPAN_S ? '' : s === 0 ? 'now' : `−${Math.abs(s)} s`)),
  };
}

function yAxis(splits: uPlot.Axis.Splits): uPlot.Axis {
  return { ...axis(), size: AXIS_WIDTH, splits };
}

/** 1, 3, 10, 30 ... inside the bounds. */
function logSplits(_u: uPlot, _axis: number, min: number, max: number): number[] {
  const splits: number[] = [];
  for (let decade = 10 ** Math.floor(Math.log10(min)); decade <= max * 1.001; decade *= 10) {
    for (const value of [decade, 3 * decade]) {
      if (value >= min * 0.999 && value <= max * 1.001) splits.push(value);
    }
  }
  return splits;
}

/** Whole decades only, once there are many lines. */
function latencyLabels(_u: uPlot, splits: number[]): string[] {
  return splits.map((us) => {
    const decade = Math.abs(Math.log10(us) - Math.round(Math.log10(us))) < 0.01;
    return splits.length > 5 && !decade ? '' : micros(us).replace(/\.\d*?0+(?=\D)/, '');
  });
}

function shadeThrottled(u: uPlot, view: LaneView, alpha: number, bar: boolean): void {
  const { ctx, bbox } = u;
  for (const stretch of throttledStretches(view)) {
    const left = u.valToPos(stretch.fromS, 'x', true);
    const width = Math.max(devicePixelRatio, u.valToPos(stretch.toS, 'x', true) - left);
    ctx.save();
    ctx.globalAlpha = alpha;
    ctx.fillStyle = throttleHatch(ctx);
    ctx.fillRect(left, bbox.top, width, bbox.height);
    if (bar) {
      ctx.globalAlpha = 1;
      ctx.fillStyle = colour('throttle');
      ctx.fillRect(left, bbox.top, width, THROTTLE_BAR * devicePixelRatio);
    }
    ctx.restore();
  }
}

function labelSlo(u: uPlot, view: LaneView): void {
  const sloUs = view.sloUs.findLast((value) => value !== null);
  if (sloUs == null) return;
  const { ctx, bbox } = u;
  const y = u.valToPos(sloUs, 'y', true);
  const pixel = devicePixelRatio;
  ctx.save();
  ctx.font = FONT.replace('11px', `600 ${11 * pixel}px`);
  ctx.textAlign = 'left';
  ctx.textBaseline = 'bottom';
  const text = `SLO ${micros(sloUs)}`;
  // Above the line, or below it where there is no room.
  const baseline = y - bbox.top < 18 * pixel ? y + 16 * pixel : y - 2 * pixel;
  ctx.strokeStyle = colour('surface');
  ctx.lineWidth = 3 * pixel;
  ctx.lineJoin = 'round';
  ctx.strokeText(text, bbox.left + 6 * pixel, baseline);
  ctx.fillStyle = colour('slo');
  ctx.fillText(text, bbox.left + 6 * pixel, baseline);
  ctx.restore();
}
