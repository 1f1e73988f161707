/**
 * Draws when asked, but never more often than the interval, and not at all while the tab is hidden: then the browser
 * runs no animation frames, and one draw waits for the tab to come back. Asking is cheap; ask for every frame.
 */

export class Pace {
  private pending = false;
  private lastMs = Number.NEGATIVE_INFINITY;

  constructor(
    private readonly intervalMs: number,
    private readonly draw: () => void,
  ) {}

  request(): void {
    if (this.pending) return;
    this.pending = true;
    const waitMs = this.lastMs + this.intervalMs - performance.now();
    // A little early, so that the animation frame that follows is the right one.
    if (waitMs > 8) setTimeout(() => requestAnimationFrame(this.run), waitMs - 8);
    else requestAnimationFrame(this.run);
  }

  private readonly run = (): void => {
    this.pending = false;
    this.lastMs = performance.now();
    this.draw();
  };
}

/** Charts follow every frame of the 10 Hz feed; numbers change at a pace that can be read. */
export const CHART_INTERVAL_MS = 100;
export const TEXT_INTERVAL_MS = 250;

const chartDrawers = new Set<() => void>();

export const charts = new Pace(CHART_INTERVAL_MS, () => {
  for (const draw of chartDrawers) draw();
});

/** Returns the way to stop. */
export function onChartPaint(draw: () => void): () => void {
  chartDrawers.add(draw);
  return () => chartDrawers.delete(draw);
}
