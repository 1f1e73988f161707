/**
 * What a cron expression may be: five fields, or six with seconds first, in the box's time zone. Checked when a
 * function is deployed, so that a typo is an error at once and not a call that never comes.
 */

import { validateDetailed } from 'node-cron';
import { NemoError } from '../errors.js';

/** Throws BAD_REQUEST naming the field that is wrong. */
export function checkSchedule(expression: string): void {
  const fields = expression.trim().split(/\s+/);
  if (fields.length < 5 || fields.length > 6) {
    throw bad(expression, `it has ${fields.length} fields`);
  }
  const { valid, errors } = validateDetailed(expression.trim());
  if (!valid) {
    const first = errors[0];
    throw bad(expression, first === undefined ? 'it does not parse' : `${first.field}: ${first.message}`);
  }
}

function bad(expression: string, why: string): NemoError {
  return new NemoError('BAD_REQUEST', `schedule '${expression.slice(0, 80)}' is no cron expression: ${why}`, {
    hint: "write minute hour day month weekday, for example '*/5 * * * *' (seconds may stand in front)",
  });
}
