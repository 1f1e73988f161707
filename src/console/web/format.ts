/**
 * Numbers to text, always with their unit. Missing values are a dash, never 0: a core without packets has no latency.
 * The space before a unit does not break (U+00A0).
 */

const MISSING = '–';
const NBSP = '\u00a0';

type Maybe = number | null | undefined;

function missing(value: Maybe): value is null | undefined {
  return value === null || value === undefined || !Number.isFinite(value);
}

/** Three significant digits below 1000, grouped integers from there on. */
function significant(value: number): string {
  const size = Math.abs(value);
  if (size >= 999.5) return Math.round(value).toLocaleString('en-US');
  if (size >= 99.95) return value.toFixed(0);
  if (size >= 9.995) return value.toFixed(1);
  return value.toFixed(2);
}

/** 0.4823 -> `48.2 %`. */
export function percent(ratio: Maybe): string {
  return missing(ratio) ? MISSING : `${(ratio * 100).toFixed(1)}${NBSP}%`;
}

/** Microseconds, in the unit that reads best: `17.6 µs`, `4.02 ms`, `1.20 s`. */
export function micros(us: Maybe): string {
  if (missing(us)) return MISSING;
  if (us < 999.5) return `${significant(us)}${NBSP}µs`;
  if (us < 999_500) return `${significant(us / 1_000)}${NBSP}ms`;
  return `${significant(us / 1_000_000)}${NBSP}s`;
}

export function millis(ms: Maybe): string {
  return missing(ms) ? MISSING : micros(ms * 1_000);
}

const BYTE_UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

export function bytes(value: Maybe): string {
  if (missing(value)) return MISSING;
  let unit = 0;
  let scaled = value;
  while (scaled >= 999.5 && unit < BYTE_UNITS.length - 1) {
    scaled /= 1024;
    unit++;
  }
  return `${unit === 0 ? scaled : significant(scaled)}${NBSP}${BYTE_UNITS[unit]}`;
}

/** Whole things: `12,345`, from a million on `1.23 M`. */
export function count(value: Maybe): string {
  if (missing(value)) return MISSING;
  return value >= 1_000_000
    ? `${significant(value / 1_000_000)}${NBSP}M`
    : Math.round(value).toLocaleString('en-US');
}

export function perSecond(value: Maybe): string {
  if (missing(value)) return MISSING;
  return value === 0 ? `0${NBSP}/s` : `${significant(value)}${NBSP}/s`;
}

/** Two units at most: `45 s`, `3 min 12 s`, `2 h 5 min`, `3 d 4 h`. */
export function duration(seconds: Maybe): string {
  if (missing(seconds)) return MISSING;
  const whole = Math.max(0, Math.floor(seconds));
  const steps: Array<[number, string]> = [
    [86_400, 'd'],
    [3_600, 'h'],
    [60, 'min'],
    [1, 's'],
  ];
  const first = steps.findIndex(([size]) => whole >= size);
  if (first === -1) return `0${NBSP}s`;
  const [size, unit] = steps[first]!;
  const next = steps[first + 1];
  const rest = next ? Math.floor((whole % size) / next[0]) : 0;
  const head = `${Math.floor(whole / size)}${NBSP}${unit}`;
  return next && rest > 0 ? `${head} ${rest}${NBSP}${next[1]}` : head;
}

/** Local time of day of a UNIX time: `14:03:59.120`. */
export function clockTime(timeMs: number): string {
  const at = new Date(timeMs);
  const two = (value: number) => String(value).padStart(2, '0');
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}

/** A share of something that may be nothing yet: null rather than 0/0. */
export function share(part: number, whole: number): number | null {
  return whole > 0 ? part / whole : null;
}

export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n.toLocaleString('en-US')} ${n === 1 ? one : many}`;
}
