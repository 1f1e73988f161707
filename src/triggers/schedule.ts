/**
 * What a cron expression may be: five fields, or six with seconds first, in the box's time zone. Checked when a
 * function is deployed, so that a typo is an error at once and not a call that never comes. Ranges are written out by the
 * library before it looks at their numbers: what is long, or has a long number, never gets there.
 */

import { createTask, validateDetailed } from 'node-cron';
import { NemoError } from '../errors.js';

const LENGTH_MAX = 200;
export const SILENT = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };

/** Throws BAD_REQUEST naming the field that is wrong. */
export function checkSchedule(expression: string): void {
  if (expression.length > LENGTH_MAX) throw bad(expression, `it has more than ${LENGTH_MAX} characters`);
  const fields = expression.trim().split(/\s+/);
  if (fields.length < 5 || fields.length > 6) {
    throw bad(expression, `it has ${fields.length} fields`);
  }
  const [number] = /\d{3,}/.exec(expression) ?? [];
  if (number !== undefined) throw bad(expression, `${number.slice(0, 20)} is in no field`);
  const { valid, errors } = validateDetailed(expression.trim());
  if (!valid) {
    const first = errors[0];
    throw bad(expression, first === undefined ? 'it does not parse' : `${first.field}: ${first.message}`);
  }
  if (!comes(expression.trim())) throw bad(expression, 'there is no such day');
}

/** A valid one may have no day at all: a 31st of February that is moved to a weekday. It cannot be started. */
function comes(expression: string): boolean {
  const task = createTask(expression, () => {}, { unref: true, logger: SILENT });
  try {
    void task.start();
    return true;
  } catch {
    return false;
  } finally {
    void task.destroy();
  }
}

function bad(expression: string, why: string): NemoError {
  return new NemoError('BAD_REQUEST', `schedule '${expression.slice(0, 80)}' is no cron expression: ${why}`, {
    hint: "write minute hour day month weekday, for example '*/5 * * * *' (seconds may stand in front)",
  });
}
