/**
 * Text of strangers (what functions print, names of processes, messages of other programs) on its way to a terminal. What
 * would steer the terminal, or make a reader see another text than there is, is shown as an escape: control characters of
 * both sets, marks that turn the direction of writing, marks without a width, tags, halves of characters. Everything that a command or the agent
 * prints goes through here.
 */

/** Controls, formats, halves of surrogate pairs, separators of lines; and letters that show as nothing. */
const UNSAFE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u115f\u1160\u3164\uffa0]/gu;

/** One line: a line break in it is shown too. */
export function printable(text: string): string {
  return text.replace(UNSAFE, shown);
}

/** Several lines: their breaks and tabs stay. A carriage return before a break is part of it. */
export function printableLines(text: string): string {
  return text
    .replace(/\r\n/g, '\n')
    .replace(UNSAFE, (mark) => (mark === '\n' || mark === '\t' ? mark : shown(mark)));
}

/** A line of JSON, still the same JSON: its own escapes do not cover all of what a terminal obeys. */
export function printableJson(line: string): string {
  return line.replace(UNSAFE, (mark) =>
    mark === '\n' ? mark : [...mark.split('')].map((unit) => `\\u${hex(unit.charCodeAt(0), 4)}`).join(''),
  );
}

function shown(mark: string): string {
  const code = mark.codePointAt(0)!;
  if (code < 0x100) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\u{${hex(code, 1)}}`;
}

function hex(code: number, digits: number): string {
  return code.toString(16).padStart(digits, '0');
}
