/**
 * One NF core in time: who used it (above), how its packets fared (below), the numbers of now at the right.
 * The charts live outside Preact's rendering: they repaint with the feed, and only while the lane is in view.
 */

import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import type { FeedNf } from '../../model/feed.js';
import { latencyData, latencyOptions, shareData, shareOptions } from './charts.js';
import { count, duration, micros, percent, share } from './format.js';
import { emptyView, type LaneView } from './history.js';
import type { ConsoleModel, Lane } from './model.js';
import { onChartPaint } from './pace.js';
import { ThrottleBadge } from './parts.js';

const SHARE_HEIGHT = 118;
const LATENCY_HEIGHT = 138;

export function LaneCard({ lane, model, nfs }: { lane: Lane; model: ConsoleModel; nfs: FeedNf[] }) {
  const { latest } = lane;
  const names = nfs.map((nf) => nf.id).join(', ') || 'no NF now';
  return (
    <article class="card lane" data-core={lane.core} aria-labelledby={`lane-${lane.core}`}>
      <header class="lane-head">
        <h3 id={`lane-${lane.core}`}>Core {lane.core}</h3>
        <span class="muted ellipsis">{names}</span>
        <ThrottleBadge level={latest.throttleLevel} name={latest.throttleName} />
      </header>
      <LaneCharts lane={lane} model={model} />
      <LaneNumbers lane={lane} />
    </article>
  );
}

function LaneNumbers({ lane }: { lane: Lane }) {
  const { latest } = lane;
  const { totals } = latest;
  const broken = latest.p99Us !== null && latest.sloUs !== null && latest.p99Us > latest.sloUs;
  const running = [...new Set(latest.running.map((call) => call.functionName))];
  return (
    <dl class="numbers">
      <Figure term="Functions now" value={percent(latest.functionRatio)} name="function" swatch="function" />
      <Figure term="NF now" value={percent(latest.nfRatio)} name="nf" swatch="nf" />
      <Figure
        term="Predicted spare"
        title="Share of the core that is expected to be free next"
        value={percent(latest.predictedSpareRatio)}
        name="predicted"
      />
      <Figure term="Packets p50" value={micros(latest.p50Us)} name="p50" swatch="p50" />
      <Figure term="Packets p99" value={micros(latest.p99Us)} name="p99" swatch="p99" bad={broken} />
      <Figure term="SLO (p99)" value={micros(latest.sloUs)} name="slo" swatch="slo" />
      <Figure
        term="Harvested"
        title="Harvested time as a share of the core's time since the agent started"
        value={percent(share(totals.harvestedS, totals.wallS))}
        name="harvested"
      />
      <Figure
        term="Efficiency"
        title="Harvest efficiency: harvested time / spare time since the agent started"
        value={percent(share(totals.harvestedS, totals.spareS))}
        name="efficiency"
      />
      <Figure
        term="Throttled"
        title="Time spent above throttle level 0 since the agent started"
        value={duration(totals.throttledS)}
        name="throttled"
      />
      <Figure term="Conflicts" value={count(latest.conflicts)} name="conflicts" />
      <div class="wide">
        <dt>Running</dt>
        <dd class="ellipsis" data-number="running">
          {running.join(', ') || 'nothing'}
        </dd>
      </div>
    </dl>
  );
}

interface FigureProps {
  term: string;
  value: string;
  name: string;
  title?: string;
  swatch?: string;
  bad?: boolean;
}

function Figure({ term, value, name, title, swatch, bad }: FigureProps) {
  return (
    <div title={title}>
      <dt>
        {swatch && <i class={`swatch ${swatch}`} aria-hidden="true" />}
        {term}
      </dt>
      <dd class={bad ? 'bad' : undefined} data-number={name}>
        {value}
        {bad && <span class="sr"> above the SLO</span>}
      </dd>
    </div>
  );
}

function LaneCharts({ lane, model }: { lane: Lane; model: ConsoleModel }) {
  const box = useRef<HTMLDivElement>(null);
  const readout = useRef<HTMLParagraphElement>(null);
  const { latest } = lane;

  useEffect(() => {
    const root = box.current!;
    const [shareBox, latencyBox] = root.querySelectorAll<HTMLElement>('.chart');
    const view = emptyView();
    const say = (chart: uPlot) => {
      const left = chart.cursor.left ?? -1;
      readout.current!.textContent = left < 0 ? '' : describe(view, chart.posToIdx(left), lane);
    };
    const width = root.clientWidth;
    const shares = new uPlot(shareOptions(view, width, SHARE_HEIGHT, say), shareData(view), shareBox!);
    const latency = new uPlot(
      latencyOptions(view, width, LATENCY_HEIGHT, say),
      latencyData(view),
      latencyBox!,
    );
    let inView = true;
    const paint = () => {
      if (!inView) return;
      lane.history.fill(view, model.frame?.timeMs ?? 0);
      shares.setData(shareData(view));
      latency.setData(latencyData(view));
      if ((shares.cursor.left ?? -1) >= 0) say(shares);
    };
    paint();
    const stopPainting = onChartPaint(paint);
    const resized = new ResizeObserver(() => {
      shares.setSize({ width: root.clientWidth, height: SHARE_HEIGHT });
      latency.setSize({ width: root.clientWidth, height: LATENCY_HEIGHT });
    });
    resized.observe(root);
    const seen = new IntersectionObserver(
      (entries) => {
        inView = entries.at(-1)!.isIntersecting;
        paint();
      },
      // Half a page ahead, so that scrolling finds the lane drawn.
      { rootMargin: '50% 0px' },
    );
    seen.observe(root);
    return () => {
      stopPainting();
      resized.disconnect();
      seen.disconnect();
      shares.destroy();
      latency.destroy();
    };
  }, [lane, model]);

  const shares = `Core ${lane.core}, last 60 s. Now: NF ${percent(latest.nfRatio)}, functions ${percent(latest.functionRatio)}, other ${percent(latest.otherRatio)}, idle ${percent(latest.idleRatio)}.`;
  const packets = `Packet latency on core ${lane.core}, last 60 s. Now: p50 ${micros(latest.p50Us)}, p99 ${micros(latest.p99Us)}, SLO ${micros(latest.sloUs)}.`;
  return (
    <div class="lane-charts" ref={box}>
      <div class="chart" data-chart="shares" role="img" aria-label={shares} />
      <div class="chart" data-chart="latency" role="img" aria-label={packets} />
      {latest.p99Us === null && (
        <p class="chart-note">No packet latency: no packets, or the NF has no source</p>
      )}
      <p class="readout" ref={readout} aria-hidden="true" />
    </div>
  );
}

/** What lies under the cursor, in one line. */
function describe(view: LaneView, row: number, lane: Lane): string {
  const atS = view.xS[row];
  const nf = view.nfTop[row];
  const functions = view.functionTop[row];
  if (atS === undefined || nf == null || functions == null) return '';
  const level = view.level[row]!;
  const name = level === lane.latest.throttleLevel ? lane.latest.throttleName : `level ${level}`;
  const throttle = level > 0 ? ` · throttled: ${name}` : '';
  const p = `p50 ${micros(view.p50Us[row])} · p99 ${micros(view.p99Us[row])}`;
  return `−${Math.abs(atS).toFixed(1)} s · NF ${percent(nf)} · functions ${percent(functions - nf)} · ${p}${throttle}`;
}
