/** Small pieces of SVG: scales, axes, text. Pure. Everything that comes from a report goes through `escapeHtml`. */

const ENTITIES: Record<string, string> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};

export function escapeHtml(text: unknown): string {
  return String(text).replace(/[&<>"']/g, (sign) => ENTITIES[sign]!);
}

export interface Scale {
  (value: number): number;
  readonly ticks: readonly number[];
}

/** Maps [from, to] to [start, end] in pixels, with round ticks. */
export function linear(from: number, to: number, start: number, end: number): Scale {
  const span = to - from || 1;
  const rough = span / 5;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough)!;
  const ticks: number[] = [];
  for (let i = Math.ceil(from / step - 1e-9); i * step <= to + step * 1e-9; i++)
    ticks.push(Number((i * step).toPrecision(12)));
  const scale = (value: number): number => start + ((value - from) / span) * (end - start);
  return Object.assign(scale, { ticks });
}

/** As `linear`, in decades: [from, to] is widened to whole 1-2-5 steps. Values at or below 0 count as `from`. */
export function logarithmic(from: number, to: number, start: number, end: number): Scale {
  const steps: number[] = [];
  for (let decade = -6; decade <= 12; decade++)
    for (const factor of [1, 2, 5]) steps.push(factor * 10 ** decade);
  const low = steps.findLast((step) => step <= from) ?? steps[0]!;
  const high = steps.find((step) => step >= to && step > low) ?? steps.at(-1)!;
  const inside = steps.filter((step) => step >= low && step <= high);
  const ticks =
    inside.length > 9
      ? inside.filter((step) => Number.isInteger(Number(Math.log10(step).toFixed(9))))
      : inside;
  const [a, b] = [Math.log10(low), Math.log10(high)];
  const scale = (value: number): number =>
    start + ((Math.log10(Math.max(value, low)) - a) / (b - a)) * (end - start);
  return Object.assign(scale, { ticks: ticks.map((tick) => Number(tick.toPrecision(6))) });
}

/** 1500 -> 1.5k, 0.05 -> 0.05 */
export function short(value: number): string {
  if (value === 0) return '0';
  const size = Math.abs(value);
  if (size >= 1e6) return `${trim(value / 1e6)}M`;
  if (size >= 1e4) return `${trim(value / 1e3)}k`;
  return trim(value);
}

function trim(value: number): string {
  return String(Number(value.toPrecision(3)));
}

export type Anchor = 'start' | 'middle' | 'end';

export function text(x: number, y: number, words: string, anchor: Anchor = 'start', kind = ''): string {
  return `<text x="${px(x)}" y="${px(y)}" text-anchor="${anchor}"${kind === '' ? '' : ` class="${kind}"`}>${escapeHtml(words)}</text>`;
}

export function line(x1: number, y1: number, x2: number, y2: number, kind: string): string {
  return `<line x1="${px(x1)}" y1="${px(y1)}" x2="${px(x2)}" y2="${px(y2)}" class="${kind}"/>`;
}

export function path(points: ReadonlyArray<readonly [number, number]>, kind: string): string {
  if (points.length === 0) return '';
  const d = points.map(([x, y], i) => `${i === 0 ? 'M' : 'L'}${px(x)} ${px(y)}`).join('');
  return `<path d="${d}" class="${kind}"/>`;
}

export function px(value: number): string {
  return String(Math.round(value * 10) / 10);
}

export interface Frame {
  width: number;
  height: number;
  title: string;
  /** For readers who do not see the picture. */
  description: string;
}

let figures = 0;

/** A whole picture; it scales with its column. */
export function figure({ width, height, title, description }: Frame, content: string): string {
  const id = `figure-${++figures}`;
  return (
    `<figure><svg viewBox="0 0 ${width} ${px(height)}" role="img" aria-labelledby="${id}-t ${id}-d">` +
    `<title id="${id}-t">${escapeHtml(title)}</title><desc id="${id}-d">${escapeHtml(description)}</desc>${content}</svg>` +
    `<figcaption>${escapeHtml(title)}</figcaption></figure>`
  );
}

/** Grid lines and labels of a horizontal axis below a plot. */
export function axisBelow(scale: Scale, top: number, bottom: number, name: string, right: number): string {
  const marks = scale.ticks.map(
    (tick) =>
      line(scale(tick), top, scale(tick), bottom, 'grid') +
      text(scale(tick), bottom + 14, short(tick), 'middle', 'tick'),
  );
  return marks.join('') + text(right, bottom + 28, name, 'end', 'tick');
}

/** Grid lines and labels of a vertical axis left of a plot. */
export function axisLeft(
  scale: Scale,
  left: number,
  right: number,
  format: (value: number) => string = short,
): string {
  return scale.ticks
    .map(
      (tick) =>
        line(left, scale(tick), right, scale(tick), 'grid') +
        text(left - 5, scale(tick) + 4, format(tick), 'end', 'tick'),
    )
    .join('');
}
