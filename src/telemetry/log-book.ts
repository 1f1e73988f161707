/**
 * What functions printed: the last lines of each, bounded in lines and in characters, so that no function can
 * take the agent's memory by printing. Followers are called in the same turn as `append`.
 */

import type { NemoError } from '../errors.js';
import type { LogBook } from '../gateway/platform.js';
import type { LogLine } from '../invoke/function.js';
import { LOGS } from '../tunables.js';

interface Page {
  lines: LogLine[];
  /** Lines before this index are forgotten; they are cut off in bulk. */
  first: number;
  chars: number;
}

/** Why a call failed stands where its author looks, as far as it was the function's doing. */
export function logFailure(
  book: LogBook,
  functionName: string,
  error: NemoError,
  sandboxId: string | undefined,
): void {
  if (error.blame !== 'function' && error.code !== 'BAD_FUNCTION') return;
  const stack = typeof error.details?.stack === 'string' ? error.details.stack : '';
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  for (const text of [`${error.code}: ${error.ownersMessage}`, ...frames]) {
    book.append({ timeMs: Date.now(), functionName, sandboxId: sandboxId ?? '', stream: 'stderr', text });
  }
}

/** `isFunction`: what runs on after its function was removed leaves nothing that nobody would ever forget. */
export function createLogBook(
  limits: { [K in keyof typeof LOGS]: number } = LOGS,
  isFunction: (name: string) => boolean = () => true,
): LogBook {
  const pages = new Map<string, Page>();
  const followers = new Map<string, Set<(line: LogLine) => void>>();

  const trim = (page: Page): void => {
    while (page.lines.length - page.first > limits.linesPerFunction || page.chars > limits.charsPerFunction) {
      page.chars -= page.lines[page.first]!.text.length;
      page.first++;
    }
    if (page.first > limits.linesPerFunction) {
      page.lines = page.lines.slice(page.first);
      page.first = 0;
    }
  };

  return {
    append(line) {
      if (!isFunction(line.functionName)) return;
      const { lineMaxChars } = limits;
      const kept =
        line.text.length <= lineMaxChars
          ? line
          : { ...line, text: `${line.text.slice(0, lineMaxChars)}... (${line.text.length} characters)` };
      let page = pages.get(line.functionName);
      if (page === undefined) {
        page = { lines: [], first: 0, chars: 0 };
        pages.set(line.functionName, page);
      }
      page.lines.push(kept);
      page.chars += kept.text.length;
      trim(page);
      const listening = followers.get(line.functionName);
      if (listening !== undefined) for (const listener of listening) listener(kept);
    },
    read(functionName, tail) {
      const page = pages.get(functionName);
      if (page === undefined || tail <= 0) return [];
      return page.lines.slice(Math.max(page.first, page.lines.length - tail));
    },
    follow(functionName, listener) {
      let listening = followers.get(functionName);
      if (listening === undefined) {
        listening = new Set();
        followers.set(functionName, listening);
      }
      listening.add(listener);
      return () => {
        listening.delete(listener);
        if (listening.size === 0 && followers.get(functionName) === listening) followers.delete(functionName);
      };
    },
    forget: (functionName) => void pages.delete(functionName),
  };
}
