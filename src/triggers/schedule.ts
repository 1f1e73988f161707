/**
 * What a cron expression may be: five fields, or six with seconds first, in the box's time zone. Checked when a
 * function is deployed, so that a typo is an error at once and not a call that never comes. What is long, or has a long
 * number, never gets to the parser.
 */

import { Cron } from 'croner';
import { NemoError } from '../errors.js';

const LENGTH_MAX = 200;
const NAMES = /\b(jan|feb|mar|apr|jun|jul|aug|sep|oct|nov|dec|sun|mon|tue|wed|thu|fri|sat)[a-z]+\b/gi;

/** Throws BAD_REQUEST naming the field that is wrong. */
export function checkSchedule(expression: string): void {
  parseSchedule(expression);
}

/** As `checkSchedule`; what comes back starts nothing by itself. */
export function parseSchedule(expression: string): Cron {
  if (expression.length > LENGTH_MAX) throw bad(expression, `it has more than ${LENGTH_MAX} characters`);
  const fields = expression.trim().split(/\s+/);
  if (fields.length < 5 || fields.length > 6) {
    throw bad(expression, `it has ${fields.length} fields`);
  }
  const [number] = /\d{3,}/.exec(expression) ?? [];
  if (number !== undefined) throw bad(expression, `${number.slice(0, 20)} is in no field`);
  let pattern: Cron;
  try {
    pattern = new Cron(fields.join(' ').replace(NAMES, '$1'), { paused: true, mode: '5-or-6-parts' });
  } catch (thrown) {
    throw bad(expression, (thrown as Error).message.replace(/^CronPattern: /, ''));
  }
  // A valid one may have no day at all: a 31st of February.
  if (nextTurnMs(pattern, Date.now()) === undefined) throw bad(expression, 'there is no such day');
  return pattern;
}

/**
 * The first time after that one, in milliseconds since the epoch. As cron(8) where the clock changes in summer and
 * winter: a fixed time that is left out comes at once, and one that comes twice counts once; every other goes on.
 */
export function nextTurnMs(pattern: Cron, afterMs: number): number | undefined {
  return pattern.nextRun(new Date(afterMs))?.getTime();
}

function bad(expression: string, why: string): NemoError {
  return new NemoError('BAD_REQUEST', `schedule '${expression.slice(0, 80)}' is no cron expression: ${why}`, {
    hint: "write minute hour day month weekday, for example '*/5 * * * *' (seconds may stand in front)",
  });
}
