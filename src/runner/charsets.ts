/** What TextDecoder leaves to others, for the bodies of functions and of the API. */

// biome-ignore format: the bytes from 0x80 to 0x9f, eight a line
const HIGH = [
  0x20ac, 0x81, 0x201a, 0x192, 0x201e, 0x2026, 0x2020, 0x2021,
  0x2c6, 0x2030, 0x160, 0x2039, 0x152, 0x8d, 0x17d, 0x8f,
  0x90, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014,
  0x2dc, 0x2122, 0x161, 0x203a, 0x153, 0x9d, 0x17e, 0x178,
];
const Bytes = Uint8Array;
const wide = new TextDecoder('utf-16le');
const decode = TextDecoder.prototype.decode.bind(wide) as (bytes: Uint8Array) => string;

/**
 * Windows-1252 (encoding.spec.whatwg.org, 10), which is also what `iso-8859-1` and `latin1` name there. TextDecoder of node
 * 20 takes the bytes 0x80 to 0x9f for control characters.
 */
export function latin(bytes: Uint8Array): string {
  const units = new Bytes(2 * bytes.length);
  for (let i = 0; i < bytes.length; i++) {
    const byte = bytes[i]!;
    const unit = byte >= 0x80 && byte < 0xa0 ? HIGH[byte - 0x80]! : byte;
    units[2 * i] = unit & 0xff;
    units[2 * i + 1] = unit >> 8;
  }
  return decode(units);
}

/** The byte order mark of UTF-16 says which of two it is. */
export function wideMark(bytes: Uint8Array): 'utf-16le' | 'utf-16be' | undefined {
  if (bytes[0] === 0xff && bytes[1] === 0xfe) return 'utf-16le';
  return bytes[0] === 0xfe && bytes[1] === 0xff ? 'utf-16be' : undefined;
}
