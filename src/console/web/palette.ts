/**
 * The charts' colours, read from the style sheet: a canvas knows no custom properties. Charts take colours through
 * functions, so after `refreshPalette` the next draw has the new theme.
 */

const NAMES = [
  'nf',
  'function',
  'other',
  'idle',
  'throttle',
  'p50',
  'p99',
  'slo',
  'text-muted',
  'grid',
  'surface',
] as const;

export type ColourName = (typeof NAMES)[number];

const colours = new Map<ColourName, string>();
let hatch: CanvasPattern | null = null;

export function refreshPalette(): void {
  const style = getComputedStyle(document.documentElement);
  for (const name of NAMES) colours.set(name, style.getPropertyValue(`--${name}`).trim());
  hatch = null;
}

export function colour(name: ColourName): string {
  return colours.get(name) ?? '#888';
}

export const FONT = '11px Inter, system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif';

/** Diagonal stripes: throttling is told by texture as well as by colour. */
export function throttleHatch(context: CanvasRenderingContext2D): CanvasPattern | string {
  if (hatch) return hatch;
  const tile = document.createElement('canvas');
  const size = Math.round(8 * devicePixelRatio);
  tile.width = tile.height = size;
  const draw = tile.getContext('2d')!;
  draw.strokeStyle = colour('throttle');
  draw.lineWidth = size / 5;
  for (const offset of [-size, 0, size]) {
    draw.beginPath();
    draw.moveTo(offset - 1, size + 1);
    draw.lineTo(offset + size + 1, -1);
    draw.stroke();
  }
  hatch = context.createPattern(tile, 'repeat');
  return hatch ?? colour('throttle');
}
