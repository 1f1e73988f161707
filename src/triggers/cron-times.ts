/**
 * When a cron expression comes next, by cron(5), in the time zone of this process. The library reads the fields and knows its
 * extensions (`L`, `15W`, `1#2`); two things are done here, as it does them differently: of day of month and day of week
 * either suffices if neither begins with `*`, and clocks that are changed. Where clocks go forward, what has a fixed hour in
 * the hour that is left out comes right after it; where they go back, it comes once, and what comes more often goes on.
 */

import { createTask, parse } from 'node-cron';

const SILENT = { info: () => {}, warn: () => {}, error: () => {}, debug: () => {} };
/** A 29 February comes on the same weekday after at most so many years (around 2100). */
const YEARS_MAX = 41;
const HOUR_MS = 3_600_000;

export interface CronTimes {
  /** Of the minutes or hours each: it just goes on where clocks are changed. */
  readonly often: boolean;
  /** The first one after that time; undefined: none ever comes. */
  next(after: Date): Date | undefined;
  close(): void;
}

/** `fields`: six, that the library takes; but the day of month may be one that the month does not have. */
export function cronTimesOf(fields: readonly string[]): CronTimes {
  const [second, minute, hour, day, month, weekday] = fields as [
    string,
    string,
    string,
    string,
    string,
    string,
  ];
  const times = parse(`${second} ${minute} ${hour} * * *`);
  const months = parse(`0 0 0 * ${month} *`).month;
  const days = new Days(day, weekday);
  const often = minute.startsWith('*') || hour.startsWith('*');
  const hasTime = (at: Date) =>
    times.hour.includes(at.getUTCHours()) && times.minute.includes(at.getUTCMinutes());

  const next = (after: Date): Date | undefined => {
    const lastYear = after.getFullYear() + YEARS_MAX;
    let at = new Date(Math.floor(after.getTime() / 1000) * 1000 + 1000);
    while (at.getFullYear() <= lastYear) {
      const [y, m, d] = [at.getFullYear(), at.getMonth(), at.getDate()];
      if (!months.includes(m + 1)) {
        at = new Date(y, m + 1, 1);
      } else if (!days.has(y, m, d)) {
        at = new Date(y, m, d + 1);
      } else {
        if (!often && skipped(at).some(hasTime)) return at;
        if (!times.hour.includes(at.getHours()) || (!often && isRepeated(at))) {
          at = nextHour(at);
        } else if (!times.minute.includes(at.getMinutes())) {
          at = new Date(at.getTime() + 60_000 - at.getSeconds() * 1000);
        } else if (!times.second.includes(at.getSeconds())) {
          at = new Date(at.getTime() + 1000);
        } else return at;
      }
    }
    return undefined;
  };
  return { often, next, close: () => days.close() };
}

/** In real time: an hour that is left out is passed over, one that comes twice is visited twice. */
function nextHour(at: Date): Date {
  const left = HOUR_MS - at.getMinutes() * 60_000 - at.getSeconds() * 1000;
  const next = new Date(at.getTime() + left);
  // Clocks may be changed within it, and by half an hour.
  const changedMs = (next.getTimezoneOffset() - at.getTimezoneOffset()) * 60_000;
  if (changedMs === 0) return next;
  for (let ms = at.getTime() - at.getSeconds() * 1000 + 60_000; ms < next.getTime(); ms += 60_000) {
    if (new Date(ms).getTimezoneOffset() !== at.getTimezoneOffset()) return new Date(ms);
  }
  return next;
}

/** The minutes of the clock that were left out right before this moment, as if they were UTC. */
function skipped(at: Date): Date[] {
  const minutes = new Date(at.getTime() - 1).getTimezoneOffset() - at.getTimezoneOffset();
  if (minutes <= 0) return [];
  const to = at.getTime() - at.getTimezoneOffset() * 60_000;
  return Array.from({ length: minutes }, (_, i) => new Date(to - (minutes - i) * 60_000));
}

/** The clock has shown this time before: of two, a date made of its parts is the first. */
function isRepeated(at: Date): boolean {
  const parts = [at.getFullYear(), at.getMonth(), at.getDate(), at.getHours()] as const;
  return new Date(...parts, at.getMinutes(), at.getSeconds()).getTime() < at.getTime();
}

/** 28 to 31. */
const MONTH_LENGTHS = 4;

/**
 * Which days the two fields name, with the library's extensions. A day is as all of its number and weekday in months of the
 * same length, and the library takes some 10 us for one: each of these is looked at once.
 */
export class Days {
  /** 0: not looked at, 1: no, 2: yes. */
  private readonly known = new Uint8Array(MONTH_LENGTHS * 7 * 32);
  private readonly byMonth: ReturnType<typeof dayTask> | undefined;
  private readonly byWeek: ReturnType<typeof dayTask> | undefined;
  private readonly either: boolean;

  constructor(day: string, weekday: string, task = dayTask) {
    const any = (field: string) => field === '*' || field === '?';
    this.byMonth = any(day) ? undefined : task(`0 0 0 ${day} * *`);
    this.byWeek = any(weekday) ? undefined : task(`0 0 0 * * ${weekday}`);
    this.either = !/^[*?]/.test(day) && !/^[*?]/.test(weekday);
  }

  has(year: number, month: number, day: number): boolean {
    const at = new Date(Date.UTC(year, month, day));
    const length = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
    const kind = ((length - 28) * 7 + at.getUTCDay()) * 32 + day;
    if (this.known[kind] === 0) this.known[kind] = this.look(at) ? 2 : 1;
    return this.known[kind] === 2;
  }

  private look(at: Date): boolean {
    const inMonth = this.byMonth?.match(at) ?? true;
    if (this.either ? inMonth : !inMonth) return inMonth;
    return this.byWeek?.match(at) ?? true;
  }

  close(): void {
    void this.byMonth?.destroy();
    void this.byWeek?.destroy();
  }
}

export function dayTask(expression: string) {
  return createTask(expression, () => {}, { timezone: 'UTC', unref: true, logger: SILENT });
}
