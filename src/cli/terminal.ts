/**
 * Lines for a terminal as spans of text and colour: measured and cut by what is seen, coloured last. Control characters
 * are made visible before that, because some text comes from functions and must not steer the terminal.
 */

import { printable, printableLines } from '../model/printable.js';

/** Every command's text for people goes out by one of these two: nothing in it steers the terminal. */
export function print(text: string): void {
  process.stdout.write(printableLines(text));
}

/** To stderr. */
export function complain(text: string): void {
  process.stderr.write(printableLines(text));
}

export type Style = 'bold' | 'dim' | 'red' | 'green' | 'yellow' | 'blue' | 'cyan' | 'magenta';
export type Span = readonly [text: string, style?: Style];

const SGR: Record<Style, string> = {
  bold: '1',
  dim: '2',
  red: '31',
  green: '32',
  yellow: '33',
  blue: '34',
  magenta: '35',
  cyan: '36',
};

const SPARKS = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'] as const;

/** One line of at most `columns` characters; what does not fit is cut, with an ellipsis. */
export function renderLine(spans: readonly Span[], columns: number, colour: boolean): string {
  const safe = spans.map(([text, style]) => [printable(text), style] as const);
  const total = safe.reduce((sum, [text]) => sum + text.length, 0);
  let left = total > columns ? columns - 1 : columns;
  let line = '';
  for (const [text, style] of safe) {
    if (left <= 0) break;
    const shown = text.slice(0, left);
    left -= shown.length;
    line += colour && style !== undefined && shown !== '' ? `\x1b[${SGR[style]}m${shown}\x1b[0m` : shown;
  }
  return total > columns && columns > 0 ? `${line}…` : colour ? line : line.trimEnd();
}

/** `width` cells shared out by `ratios`, which may sum to less than 1: the largest remainders round up. */
export function shareCells(ratios: readonly number[], width: number): number[] {
  const exact = ratios.map((ratio) => (Number.isFinite(ratio) && ratio > 0 ? ratio * width : 0));
  const sum = exact.reduce((a, b) => a + b, 0);
  const scaled = sum > width ? exact.map((cells) => (cells * width) / sum) : exact;
  const cells = scaled.map(Math.floor);
  let missing = Math.round(Math.min(sum, width)) - cells.reduce((a, b) => a + b, 0);
  const byRemainder = scaled.map((value, i) => [value - cells[i]!, i] as const).sort((a, b) => b[0] - a[0]);
  for (const [remainder, i] of byRemainder) {
    if (missing <= 0 || remainder === 0) break;
    cells[i]!++;
    missing--;
  }
  return cells;
}

/** One character a value from 0 to `top`; a gap is a blank, what exceeds `limit` stands out. */
export function sparkline(values: readonly (number | null)[], top: number, limit: number | null): Span[] {
  return values.map((value): Span => {
    if (value === null) return [' '];
    const step = Math.floor((Math.max(0, value) / (top || 1)) * SPARKS.length);
    return [SPARKS[Math.min(step, SPARKS.length - 1)]!, limit !== null && value > limit ? 'red' : 'cyan'];
  });
}

/** The alternate screen without a cursor, and back. */
export const ENTER_SCREEN = '\x1b[?1049h\x1b[?25l';
export const LEAVE_SCREEN = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE_END = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/** Rewrites the screen line by line: nothing flickers, and a smaller picture leaves no rest. */
export function inPlace(text: string, rows: number): string {
  const lines = text.split('\n').slice(0, rows - 1);
  return `${HOME}${lines.join(`${CLEAR_LINE_END}\n`)}${CLEAR_LINE_END}${CLEAR_BELOW}`;
}
