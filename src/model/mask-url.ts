/**
 * Addresses without their secrets, for messages. Whoever writes a password does not always escape it, and programs differ in
 * how they read one with "@", "/", "?" or "%" in it. So all up to the last "@" goes, whatever it is, and all of a query:
 * rather too much is hidden than a part of a password shown.
 */

const ADDRESS = /[a-z][a-z0-9+.-]*:\/\/\S+/gi;
const HIDDEN = '***';

const hideQuery = (query: string): string => query[0] + HIDDEN;

/** One address, whole: also one that no program could read. */
export function maskUrl(url: string): string {
  const at = url.indexOf('://');
  const start = at < 0 ? 0 : at + '://'.length;
  const end = url.lastIndexOf('@');
  // A password with a "?", or a query with an "@": nothing of it is sure to be no secret.
  if (/[?#]/.test(url.slice(start, Math.max(start, end)))) return url.slice(0, start) + HIDDEN;
  const credentials = end >= start ? `${HIDDEN}@` : '';
  return (
    url.slice(0, start) + credentials + url.slice(Math.max(start, end + 1)).replace(/[?#].*/s, hideQuery)
  );
}

/** Every address in a text, by its blanks. */
export function maskUrls(text: string): string {
  return text.replace(ADDRESS, maskUrl);
}
