/**
 * cron(5) as Debian has it (Vixie cron), rule by rule, with what is documented beyond it: seconds in front, a weekday 0-7, and
 * the extensions L, 15W and 1#2. Times are looked at in zones whose clocks change; every line says the turns that must come.
 */

import { expect } from 'chai';
import type { NemoError } from '../../src/model/errors.js';
import { checkSchedule, readSchedule } from '../../src/triggers/schedule.js';

interface Rule {
  rule: string;
  schedule: string;
  /** Local time, `2026-01-01 00:00:00`; an offset behind it where the clock shows it twice. */
  after?: string;
  zone?: string;
  comes: string[];
}

const RULES: Rule[] = [
  { rule: 'minute, hour', schedule: '30 4 * * *', comes: ['2026-01-01 04:30:00', '2026-01-02 04:30:00'] },
  { rule: '* is first-last', schedule: '* * * * *', comes: ['2026-01-01 00:01:00', '2026-01-01 00:02:00'] },
  {
    rule: 'ranges are inclusive',
    schedule: '0 8-10 * * *',
    comes: ['2026-01-01 08:00:00', '2026-01-01 09:00:00', '2026-01-01 10:00:00', '2026-01-02 08:00:00'],
  },
  {
    rule: 'lists',
    schedule: '0 1,2-3,5 * * *',
    comes: ['2026-01-01 01:00:00', '2026-01-01 02:00:00', '2026-01-01 03:00:00', '2026-01-01 05:00:00'],
  },
  {
    rule: 'steps of a range',
    schedule: '0 0-23/8 * * *',
    comes: ['2026-01-01 08:00:00', '2026-01-01 16:00:00', '2026-01-02 00:00:00'],
  },
  {
    rule: 'steps after an asterisk',
    schedule: '*/25 * * * *',
    comes: ['2026-01-01 00:25:00', '2026-01-01 00:50:00', '2026-01-01 01:00:00'],
  },
  {
    rule: 'steps in a list',
    schedule: '0 */12,5 * * *',
    comes: ['2026-01-01 05:00:00', '2026-01-01 12:00:00', '2026-01-02 00:00:00'],
  },
  { rule: 'leading zeros', schedule: '05 07 * * *', comes: ['2026-01-01 07:05:00'] },
  {
    rule: 'names of months, any case',
    schedule: '0 0 1 FEB,mar *',
    comes: ['2026-02-01 00:00:00', '2026-03-01 00:00:00'],
  },
  {
    rule: 'names of months, ranges',
    schedule: '0 0 1 nov-Dec *',
    comes: ['2026-11-01 00:00:00', '2026-12-01 00:00:00'],
  },
  {
    rule: 'names of days, any case',
    schedule: '0 0 * * Mon,WED',
    comes: ['2026-01-05 00:00:00', '2026-01-07 00:00:00'],
  },
  {
    rule: 'names of days, ranges',
    schedule: '0 0 * * thu-sat',
    comes: ['2026-01-02 00:00:00', '2026-01-03 00:00:00', '2026-01-08 00:00:00'],
  },
  { rule: '0 is Sunday', schedule: '0 0 * * 0', comes: ['2026-01-04 00:00:00'] },
  { rule: '7 is Sunday', schedule: '0 0 * * 7', comes: ['2026-01-04 00:00:00'] },
  {
    rule: '5-7 is Friday to Sunday',
    schedule: '0 0 * * 5-7',
    comes: ['2026-01-02 00:00:00', '2026-01-03 00:00:00', '2026-01-04 00:00:00', '2026-01-09 00:00:00'],
  },
  {
    rule: 'both days restricted: either suffices',
    schedule: '30 4 1,15 * 5',
    comes: ['2026-01-01 04:30:00', '2026-01-02 04:30:00', '2026-01-09 04:30:00', '2026-01-15 04:30:00'],
  },
  {
    rule: 'a day of month alone',
    schedule: '0 0 13 * *',
    comes: ['2026-01-13 00:00:00', '2026-02-13 00:00:00'],
  },
  {
    rule: 'a field that begins with * is not restricted: both must match',
    schedule: '0 0 */2 * 1',
    comes: ['2026-01-05 00:00:00', '2026-01-19 00:00:00'],
  },
  {
    rule: 'a day that the month lacks, or a weekday',
    schedule: '0 0 30 2 mon',
    comes: ['2026-02-02 00:00:00', '2026-02-09 00:00:00'],
  },
  {
    rule: 'months without a 31st are passed over',
    schedule: '0 0 31 * *',
    comes: ['2026-01-31 00:00:00', '2026-03-31 00:00:00', '2026-05-31 00:00:00'],
  },
  { rule: 'leap days', schedule: '0 0 29 2 *', comes: ['2028-02-29 00:00:00', '2032-02-29 00:00:00'] },
  {
    rule: 'leap days, over a year without one',
    schedule: '0 0 29 2 *',
    after: '2096-03-01 00:00:00',
    comes: ['2104-02-29 00:00:00'],
  },
  { rule: '@yearly', schedule: '@yearly', comes: ['2027-01-01 00:00:00'] },
  { rule: '@annually', schedule: '@annually', comes: ['2027-01-01 00:00:00'] },
  { rule: '@monthly', schedule: '@monthly', comes: ['2026-02-01 00:00:00'] },
  { rule: '@weekly', schedule: '@weekly', comes: ['2026-01-04 00:00:00'] },
  { rule: '@daily', schedule: '@daily', comes: ['2026-01-02 00:00:00'] },
  { rule: '@midnight', schedule: '@midnight', comes: ['2026-01-02 00:00:00'] },
  { rule: '@hourly', schedule: '@hourly', comes: ['2026-01-01 01:00:00', '2026-01-01 02:00:00'] },
  {
    rule: 'NEMO: seconds in front',
    schedule: '15,45 * * * * *',
    comes: ['2026-01-01 00:00:15', '2026-01-01 00:00:45', '2026-01-01 00:01:15'],
  },
  {
    rule: 'NEMO: L, the last day of the month',
    schedule: '0 0 L 2 *',
    comes: ['2026-02-28 00:00:00', '2027-02-28 00:00:00', '2028-02-29 00:00:00'],
  },
  {
    rule: 'NEMO: 15W, the weekday next to it',
    schedule: '0 0 15W 2,3 *',
    comes: ['2026-02-16 00:00:00', '2026-03-16 00:00:00'],
  },
  {
    rule: 'NEMO: 5L, the last Friday',
    schedule: '0 0 * * 5L',
    comes: ['2026-01-30 00:00:00', '2026-02-27 00:00:00'],
  },
  {
    rule: 'NEMO: 1#2, the second Monday',
    schedule: '0 0 * * 1#2',
    comes: ['2026-01-12 00:00:00', '2026-02-09 00:00:00'],
  },
  {
    rule: 'clocks forward: what was left out comes right after',
    schedule: '30 2 * * *',
    zone: 'America/New_York',
    after: '2026-03-07 03:00:00',
    comes: ['2026-03-08 03:00:00', '2026-03-09 02:30:00'],
  },
  {
    rule: 'clocks forward: what comes each hour just goes on',
    schedule: '30 * * * *',
    zone: 'America/New_York',
    after: '2026-03-08 01:00:00',
    comes: ['2026-03-08 01:30:00', '2026-03-08 03:30:00'],
  },
  {
    rule: 'clocks forward at midnight',
    schedule: '15 0 * * *',
    zone: 'America/Santiago',
    after: '2026-09-05 12:00:00',
    comes: ['2026-09-06 01:00:00', '2026-09-07 00:15:00'],
  },
  {
    rule: 'clocks forward by half an hour',
    schedule: '15 2 * * *',
    zone: 'Australia/Lord_Howe',
    after: '2026-10-03 12:00:00',
    comes: ['2026-10-04 02:30:00', '2026-10-05 02:15:00'],
  },
  {
    rule: 'clocks back: not twice',
    schedule: '30 1 * * *',
    zone: 'America/New_York',
    after: '2026-10-31 12:00:00',
    comes: ['2026-11-01 01:30:00', '2026-11-02 01:30:00'],
  },
  {
    rule: 'clocks back: not twice, also when asked between',
    schedule: '30 1 * * *',
    zone: 'America/New_York',
    after: '2026-11-01T01:10:00-05:00',
    comes: ['2026-11-02 01:30:00'],
  },
  {
    rule: 'clocks back: what comes each hour just goes on',
    schedule: '30 * * * *',
    zone: 'America/New_York',
    after: '2026-11-01 00:45:00',
    comes: ['2026-11-01 01:30:00', '2026-11-01 01:30:00', '2026-11-01 02:30:00'],
  },
  {
    rule: 'clocks back: what comes each few minutes goes on',
    schedule: '*/30 1-2 * * *',
    zone: 'Europe/Berlin',
    after: '2026-10-25 01:45:00',
    comes: [
      '2026-10-25 02:00:00',
      '2026-10-25 02:30:00',
      '2026-10-25 02:00:00',
      '2026-10-25 02:30:00',
      '2026-10-26 01:00:00',
    ],
  },
  {
    rule: 'a zone off the hour',
    schedule: '0 6 * * *',
    zone: 'Asia/Kathmandu',
    comes: ['2026-01-01 06:00:00', '2026-01-02 06:00:00'],
  },
];

const REFUSED: Array<[rule: string, schedule: string, says: RegExp]> = [
  ['too few fields', '* * * *', /4 fields/],
  ['too many fields', '* * * * * * *', /7 fields/],
  ['nothing', '', /1 fields/],
  ['minute 60', '60 * * * *', /minute: '60' is not within 0-59/],
  ['second 60', '60 * * * * *', /second: '60' is not within 0-59/],
  ['hour 24', '0 24 * * *', /hour: '24' is not within 0-23/],
  ['day 0', '0 0 0 * *', /day of month: '0' is not within 1-31/],
  ['day 32', '0 0 32 * *', /day of month: '32'/],
  ['month 0', '0 0 1 0 *', /month: '0'/],
  ['month 13', '0 0 1 13 *', /month: '13'/],
  ['weekday 8', '0 0 * * 8', /day of week: '8'/],
  ['a name in the wrong field', '0 0 mon * *', /day of month: 'mon'/],
  ['a name that there is not', '0 0 1 foo *', /month: 'foo'.*first three letters/],
  ['two names in one', '0 0 1 janfeb *', /month: 'janfeb'/],
  [
    'a range backwards',
    '50-10 * * * *',
    /minute: the range 50-10 runs backwards: write it as two, 50-59,0-10/,
  ],
  ['half a range', '1- * * * *', /minute: '1-'/],
  ['a range of three', '1-2-3 * * * *', /minute: '1-2-3'/],
  ['a step of 0', '*/0 * * * *', /minute: a step of 0/],
  ['a step without a range', '5/10 * * * *', /minute: a step follows \* or a range: write 5-59\/10/],
  ['a step that is too large', '*/70 * * * *', /minute: the step of '\*\/70' is larger than its range/],
  ['a step that is missing', '*/ * * * *', /minute: '\*\/' is neither/],
  ['an empty item', '1,,2 * * * *', /minute: '' is neither/],
  ['a negative number', '-1 * * * *', /minute: '-1'/],
  ['hexadecimal', '0x5 * * * *', /minute: '0x5'/],
  ['a fraction', '1.5 * * * *', /minute: '1\.5'/],
  ['a number that is too long', '0 0 1000000 * *', /1000000 is in no field/],
  ['30 February', '0 0 30 2 *', /day of month: 30 does not come in month 2/],
  ['31 April', '0 0 31 4 *', /day of month: 31 does not come in month/],
  ['31 of months that have 30', '0 0 31 4,6,9,11 *', /day of month: 31 does not come in month/],
  ['a 31 February moved to a weekday', '0 0 31W 2 *', /day of month: 31W does not come in month 2/],
  ['@reboot', '@reboot', /@reboot is not a time/],
  ['a nickname that there is not', '@fortnightly', /there is no @fortnightly.*@hourly/],
  ['a command behind it', '0 0 * * * * date', /7 fields/],
  ['random times of other crons', '~ * * * *', /minute: '~'/],
];

const two = (value: number) => String(value).padStart(2, '0');
const local = (at: Date) =>
  `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ` +
  `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;

function cronTimesOf({ schedule, after = '2026-01-01 00:00:00', comes }: Rule): string[] {
  const turns = readSchedule(schedule);
  let at = new Date(after);
  const told = comes.map(() => {
    at = turns.next(at)!;
    return local(at);
  });
  turns.close();
  return told;
}

describe('conformance: cron(5)', () => {
  const { TZ } = process.env;
  afterEach(() => {
    if (TZ === undefined) delete process.env.TZ;
    else process.env.TZ = TZ;
  });

  for (const rule of RULES) {
    it(`${rule.rule}: ${rule.schedule}${rule.zone === undefined ? '' : ` in ${rule.zone}`}`, () => {
      // Node follows: the zone is this process's from now on.
      process.env.TZ = rule.zone ?? 'UTC';
      expect(cronTimesOf(rule)).to.deep.equal(rule.comes);
    });
  }

  for (const [rule, schedule, says] of REFUSED) {
    it(`refused, ${rule}: ${schedule}`, () => {
      expect(() => checkSchedule(schedule))
        .to.throw(says)
        .with.property('code', 'BAD_REQUEST' satisfies NemoError['code']);
    });
  }
});
