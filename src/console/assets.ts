/**
 * Where the built console lies and with which headers it is to be served. The gateway needs nothing else of it.
 * The folder exists only after `npm run build`; the path is right for compiled code in dist/ alone.
 */

import { fileURLToPath } from 'node:url';

/** Absolute path of the static folder: index.html, favicon.svg, assets/. */
export const CONSOLE_FOLDER = fileURLToPath(new URL('../../console', import.meta.url));

/**
 * For every file of the folder, by whoever serves it. The page loads and calls nothing but its own origin (`ws:` there is
 * `'self'` too), is in nobody's frame, and no page that opened it or shows its files has anything of it.
 */
export const CONSOLE_HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
} as const;
