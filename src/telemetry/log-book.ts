/**
 * What functions printed: the last lines of each, bounded in lines and in characters, and all of them together in bytes, so
 * that nobody can take the agent's memory by printing, with however many functions. Followers are called in the same turn
 * as `append`.
 */

import type { NemoError } from '../model/errors.js';
import type { LogLine } from '../model/function.js';
import type { LogBook } from '../model/platform.js';
import { startOf } from '../streams/own-text.js';
import { LOGS } from '../tunables/index.js';
import { fairLevel } from './fair-level.js';

interface Page {
  /** Empty before `first`: what was forgotten is cut off in bulk. */
  lines: Array<LogLine | undefined>;
  first: number;
  chars: number;
}

/** A character may take two bytes. */
function bytesOf({ lines, first, chars }: Page): number {
  return 2 * chars + (lines.length - first) * LOGS.lineBytes;
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

export type LogLimits = Record<
  'linesPerFunction' | 'lineMaxChars' | 'charsPerFunction' | 'allMaxBytes',
  number
>;

/** `isFunction`: what runs on after its function was removed leaves nothing that nobody would ever forget. */
export function createLogBook(
  limits: LogLimits = LOGS,
  isFunction: (name: string) => boolean = () => true,
): LogBook {
  const pages = new Map<string, Page>();
  const followers = new Map<string, Set<(line: LogLine) => void>>();

  /** Of all pages. */
  let bytes = 0;

  const forgetFirst = (page: Page): void => {
    page.chars -= page.lines[page.first]!.text.length;
    page.lines[page.first++] = undefined;
  };
  const trim = (page: Page): void => {
    while (page.lines.length - page.first > limits.linesPerFunction || page.chars > limits.charsPerFunction) {
      forgetFirst(page);
    }
    if (page.first > limits.linesPerFunction) {
      page.lines = page.lines.slice(page.first);
      page.first = 0;
    }
  };
  /** The oldest lines of the largest go. More of them than need be, so that this is rare. */
  const trimAll = (): void => {
    const level = fairLevel([...pages.values()].map(bytesOf), limits.allMaxBytes * (1 - LOGS.trimRatio));
    for (const page of pages.values()) {
      const before = bytesOf(page);
      while (page.first < page.lines.length && bytesOf(page) > level) forgetFirst(page);
      bytes += bytesOf(page) - before;
    }
  };

  return {
    append(line) {
      if (!isFunction(line.functionName)) return;
      const { lineMaxChars } = limits;
      const kept =
        line.text.length <= lineMaxChars
          ? line
          : { ...line, text: `${startOf(line.text, lineMaxChars)}... (${line.text.length} characters)` };
      let page = pages.get(line.functionName);
      if (page === undefined) {
        page = { lines: [], first: 0, chars: 0 };
        pages.set(line.functionName, page);
      }
      const before = bytesOf(page);
      page.lines.push(kept);
      page.chars += kept.text.length;
      trim(page);
      bytes += bytesOf(page) - before;
      if (bytes > limits.allMaxBytes) trimAll();
      const listening = followers.get(line.functionName);
      if (listening !== undefined) for (const listener of listening) listener(kept);
    },
    read(functionName, tail) {
      const page = pages.get(functionName);
      if (page === undefined || tail <= 0) return [];
      return page.lines.slice(Math.max(page.first, page.lines.length - tail)) as LogLine[];
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
    forget(functionName) {
      const page = pages.get(functionName);
      if (page !== undefined) bytes -= bytesOf(page);
      pages.delete(functionName);
    },
  };
}
