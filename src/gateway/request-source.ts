/**
 * What a request says of who sent it, as far as a browser says it and a web page cannot change it. Read from the raw
 * headers in one pass, because every call comes through here.
 */

/** What a page has to send with a change, and no foreign page can: it would have to ask first (CORS), and is refused. */
export const REQUEST_HEADER = 'x-nemo-request';

export interface RequestSource {
  host: string | undefined;
  origin: string | undefined;
  /** `Sec-Fetch-Site`: browsers send it to https and to this machine itself, never to a plain http address elsewhere. */
  site: string | undefined;
  /** `Sec-Fetch-Dest`. */
  dest: string | undefined;
  /** X-Nemo-Request is there. */
  asked: boolean;
  /** It calls itself a browser, as all of them do. */
  browser: boolean;
  /** `Transfer-Encoding`: how the body is framed, if not by its length. */
  framing: string | undefined;
}

export function readRequestSource(rawHeaders: readonly string[]): RequestSource {
  let host: string | undefined;
  let origin: string | undefined;
  let site: string | undefined;
  let dest: string | undefined;
  let asked = false;
  let browser = false;
  let framing: string | undefined;
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = rawHeaders[i]!;
    const value = rawHeaders[i + 1]!;
    switch (name.length) {
      case 4:
        // Two are none: a proxy on the way may have gone by the other one.
        if (name.toLowerCase() === 'host') host = host === undefined ? value : '';
        break;
      case 6:
        if (name.toLowerCase() === 'origin') origin ??= value;
        break;
      case 10:
        if (name.toLowerCase() === 'user-agent') browser ||= value.startsWith('Mozilla/');
        break;
      case 14:
        switch (name.toLowerCase()) {
          case 'sec-fetch-site':
            site ??= value;
            break;
          case 'sec-fetch-dest':
            dest ??= value;
            break;
          case REQUEST_HEADER:
            asked = true;
        }
        break;
      case 17:
        if (name.toLowerCase() === 'transfer-encoding') {
          framing = framing === undefined ? value : `${framing}, ${value}`;
        }
    }
  }
  return { host, origin, site, dest, asked, browser, framing };
}

/** A program: no page made this request, whatever the machine's browser shows. */
export function isProgram({ origin, site, browser }: RequestSource): boolean {
  return origin === undefined && site === undefined && !browser;
}
