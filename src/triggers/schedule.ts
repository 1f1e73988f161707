/**
 * What a cron expression may be, by cron(5): five fields, or six with seconds first, or a nickname such as `@hourly`, in the
 * box's time zone. Checked when a function is deployed, so that a typo is an error at once and not a call that never comes.
 * Stricter than the library, which takes `janfeb`, turns 10-5 around and reads a step of 70 minutes as an hour. Ranges are
 * written out by the library before it looks at their numbers: what is long, or has a long number, never gets there.
 */

import { validateDetailed } from 'node-cron';
import { NemoError } from '../model/errors.js';
import { type CronTimes, cronTimesOf } from './cron-times.js';

const LENGTH_MAX = 200;

/** cron(5), EXTENSIONS. `@reboot` is not a time. */
const NICKNAMES: Record<string, string> = {
  '@yearly': '0 0 1 1 *',
  '@annually': '0 0 1 1 *',
  '@monthly': '0 0 1 * *',
  '@weekly': '0 0 * * 0',
  '@daily': '0 0 * * *',
  '@midnight': '0 0 * * *',
  '@hourly': '0 * * * *',
};

const MONTHS = 'january february march april may june july august september october november december';
const DAYS = 'sunday monday tuesday wednesday thursday friday saturday';

interface Field {
  name: string;
  least: number;
  most: number;
  /** By their first three letters, or in full. */
  names?: readonly string[];
  /** What the library accepts beyond cron(5). */
  also?: RegExp;
}

const FIELDS: readonly Field[] = [
  { name: 'second', least: 0, most: 59 },
  { name: 'minute', least: 0, most: 59 },
  { name: 'hour', least: 0, most: 23 },
  { name: 'day of month', least: 1, most: 31, also: /^(\?|L(-\d\d?)?|LW|\d\d?W)$/i },
  { name: 'month', least: 1, most: 12, names: MONTHS.split(' ') },
  { name: 'day of week', least: 0, most: 7, names: DAYS.split(' '), also: /^(\?|[0-7]L|[0-7]#[1-5])$/i },
];

/** Throws BAD_REQUEST naming the field that is wrong. */
export function checkSchedule(expression: string): void {
  readSchedule(expression).close();
}

/** Throws as `checkSchedule`. The caller closes what it returns. */
export function readSchedule(expression: string): CronTimes {
  if (expression.length > LENGTH_MAX) throw bad(expression, `it has more than ${LENGTH_MAX} characters`);
  const fields = fieldsOf(expression);
  const [number] = /\d{3,}/.exec(expression) ?? [];
  if (number !== undefined) throw bad(expression, `${number.slice(0, 20)} is in no field`);
  fields.forEach((text, i) => {
    for (const item of text.split(',')) checkItem(expression, FIELDS[i]!, item);
  });
  const { valid, errors } = validateDetailed(fields.join(' '));
  const [first] = errors;
  // A day that the month does not have: cron(5) also comes on the weekdays that are named beside it, if any.
  const impossible = first?.message.includes('impossible') === true;
  if (!valid && !impossible) {
    throw bad(expression, first === undefined ? 'it does not parse' : `${first.field}: ${first.message}`);
  }
  const turns = cronTimesOf(fields);
  if (turns.next(new Date()) !== undefined) return turns;
  turns.close();
  throw bad(expression, `day of month: ${fields[3]} does not come in month ${fields[4]}`);
}

/** Six fields. */
function fieldsOf(expression: string): string[] {
  const text = expression.trim();
  if (text.startsWith('@')) {
    const written = NICKNAMES[text.toLowerCase()];
    if (written !== undefined) return ['0', ...written.split(' ')];
    const why =
      text.toLowerCase() === '@reboot' ? '@reboot is not a time' : `there is no ${text.slice(0, 20)}`;
    throw bad(expression, `${why} (there are ${Object.keys(NICKNAMES).join(', ')})`);
  }
  const fields = text.split(/\s+/);
  if (fields.length < 5 || fields.length > 6) throw bad(expression, `it has ${fields.length} fields`);
  return fields.length === 5 ? ['0', ...fields] : fields;
}

function checkItem(expression: string, field: Field, item: string): void {
  const { name, least, most, also } = field;
  const fail = (why: string) => bad(expression, `${name}: ${why}`);
  if (also?.test(item) === true) return;
  const [, range, step] = /^([^/]+)(?:\/(\d+))?$/.exec(item) ?? [];
  if (range === undefined) throw fail(`'${item}' is neither a value, a range nor a step`);
  const [first, last, ...more] = range.split('-');
  let size = most - least + (name === 'day of week' ? 0 : 1);
  if (range !== '*') {
    const from = numberOf(field, first!);
    const to = last === undefined ? from : numberOf(field, last);
    if (from === undefined || to === undefined || more.length > 0) {
      const wanted = field.names === undefined ? '' : ` or the first three letters of a name`;
      throw fail(`'${item}' is not within ${least}-${most}${wanted}`);
    }
    if (to < from)
      throw fail(`the range ${range} runs backwards: write it as two, ${first}-${most},${least}-${last}`);
    if (step !== undefined && last === undefined) {
      throw fail(`a step follows * or a range: write ${first}-${most}/${step}`);
    }
    size = to - from + 1;
  }
  if (step === undefined) return;
  if (Number(step) === 0) throw fail(`a step of 0 in '${item}' leads nowhere`);
  if (Number(step) > size)
    throw fail(`the step of '${item}' is larger than its range, which has ${size} values`);
}

function numberOf({ least, most, names }: Field, text: string): number | undefined {
  const lower = text.toLowerCase();
  const at = names?.findIndex((name) => name === lower || name.slice(0, 3) === lower) ?? -1;
  if (at >= 0) return at + least;
  if (!/^\d+$/.test(text)) return undefined;
  const value = Number(text);
  return value >= least && value <= most ? value : undefined;
}

function bad(expression: string, why: string): NemoError {
  return new NemoError(
    'BAD_REQUEST',
    `schedule '${expression.slice(0, 80)}' is not a cron expression: ${why}`,
    {
      hint: "write minute hour day month weekday, for example '*/5 * * * *' (seconds may stand in front)",
    },
  );
}
