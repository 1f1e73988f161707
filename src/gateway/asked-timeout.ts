/**
 * How long a caller waits at most, as it says in `X-Timeout`: a Go duration (`750ms`, `1m30s`), the header of OpenFaaS's
 * watchdog. As there, a value of another form says nothing: the header has been in use for other things. The function gets it as it is.
 */

const DURATION = /^(?:\d{1,9}(?:\.\d{1,9})?(?:ms|s|m|h)){1,4}$/;
const PART = /([\d.]+)(ms|s|m|h)/g;
const UNIT_MS: Record<string, number> = { ms: 1, s: 1e3, m: 60e3, h: 3600e3 };

/** Infinity: it says nothing. */
export function askedTimeoutMs({ 'x-timeout': text }: Readonly<Record<string, string>>): number {
  if (text === undefined || !DURATION.test(text)) return Number.POSITIVE_INFINITY;
  let ms = 0;
  for (const [, count, unit] of text.matchAll(PART)) ms += Number(count) * UNIT_MS[unit!]!;
  return ms;
}
