/** Columns for people: text to the left, numbers to the right, no lines. */

import { printable } from '../model/printable.js';

const NUMBER = /^[\d.,]+( ?[%A-Za-z/]+)?$/;

export function formatTable(headings: readonly string[], cells: readonly string[][]): string {
  // A line break in a name must not look like a row.
  const rows = cells.map((row) => row.map(printable));
  const widths = headings.map((heading, i) => Math.max(heading.length, ...rows.map((row) => row[i]!.length)));
  const numeric = headings.map((_, i) => rows.length > 0 && rows.every((row) => NUMBER.test(row[i]!)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return `${[line(headings), ...rows.map(line)].join('\n')}\n`;
}
