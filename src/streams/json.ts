/** JSON of a peer that may send anything. */

export interface JsonBounds {
  /** Of brackets within brackets. */
  depthMax: number;
  /** Each costs the parser some 50 bytes and as many nanoseconds, and its sender two bytes, or fewer of a packed text. */
  valuesMax: number;
}

const QUOTE = 34;

/** To be asked before a text is parsed, whose length alone is bounded. What is within its strings does not count. */
export function isWithin(text: string, { depthMax, valuesMax }: JsonBounds): boolean {
  let depth = 0;
  let values = 1;
  for (let at = 0; at < text.length; at++) {
    const character = text.charCodeAt(at);
    if (character === QUOTE) at = endOfString(text, at);
    else if (character === 0x5b || character === 0x7b) {
      // [ and {
      if (++depth > depthMax || ++values > valuesMax) return false;
    } else if (character === 0x5d || character === 0x7d) depth--;
    else if (character === 0x2c && ++values > valuesMax) return false;
  }
  return true;
}

/** Where the string ends that begins there; where the text ends, if nowhere. */
function endOfString(text: string, begin: number): number {
  for (let end = text.indexOf('"', begin + 1); end >= 0; end = text.indexOf('"', end + 1)) {
    let slashes = 0;
    while (text[end - 1 - slashes] === '\\') slashes++;
    if (slashes % 2 === 0) return end;
  }
  return text.length;
}

/** Undefined where the text is not one JSON object within the bounds. Its values are of any type still. */
export function parseObject(text: string, bounds: JsonBounds): Record<string, unknown> | undefined {
  try {
    const parsed: unknown = isWithin(text, bounds) ? JSON.parse(text) : undefined;
    return isObject(parsed) ? parsed : undefined;
  } catch {
    return undefined;
  }
}

export function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
