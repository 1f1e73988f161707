/**
 * Addresses without their secrets, for messages. Whoever writes a password does not always escape it, and programs differ in
 * how they read one with "@", "/", "?" or "%" in it. So all up to the last "@" goes, whatever it is, and every value of a
 * query: rather too much is hidden than a part of a password shown.
 */

const ADDRESS = /[a-z][a-z0-9+.-]*:\/\/\S+/gi;
const HIDDEN = '***';

/** One address, whole: also one that no program could read. */
export function maskUrl(url: string): string {
  const at = url.indexOf('://');
  const start = at < 0 ? 0 : at + '://'.length;
  const end = url.lastIndexOf('@');
  const credentials = end >= start ? `${HIDDEN}@` : '';
  return url.slice(0, start) + credentials + maskQuery(url.slice(Math.max(start, end + 1)));
}

/** Every address in a text, by its blanks. */
export function maskUrls(text: string): string {
  return text.replace(ADDRESS, maskUrl);
}

function maskQuery(rest: string): string {
  const from = rest.search(/[?#]/);
  if (from < 0) return rest;
  return (
    rest.slice(0, from) +
    rest
      .slice(from)
      .replace(/([?&#;])([^=&#;?]*)(=?)[^&#;]*/g, (_, mark, name, equals) =>
        equals === '' ? `${mark}${HIDDEN}` : `${mark}${name}=${HIDDEN}`,
      )
  );
}
