/**
 * Sets the maximum of a module's own memory before it is compiled: a module that asks for more than its function may
 * have gets -1 from memory.grow, as it would on a small machine. Nothing else in the bytes is changed.
 */

const HEADER_BYTES = 8;
const MEMORY_SECTION = 5;
const HAS_MAXIMUM = 1;
export const PAGE_BYTES = 65_536;

/** `bytes` must be a valid module. Throws RangeError if its memory begins above the limit. */
export function limitMemory(bytes: Uint8Array, maxPages: number): Uint8Array {
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    const id = bytes[at]!;
    const size = readLeb(bytes, at + 1);
    const end = size.next + size.value;
    if (id === MEMORY_SECTION) {
      const content = memories(bytes, size.next, maxPages);
      const section = [id, ...leb(content.length), ...content];
      const limited = new Uint8Array(at + section.length + bytes.length - end);
      limited.set(bytes.subarray(0, at));
      limited.set(section, at);
      limited.set(bytes.subarray(end), at + section.length);
      return limited;
    }
    at = end;
  }
  return bytes;
}

function memories(bytes: Uint8Array, from: number, maxPages: number): number[] {
  const count = readLeb(bytes, from);
  const content = leb(count.value);
  let at = count.next;
  for (let i = 0; i < count.value; i++) {
    const flags = bytes[at]!;
    const minimum = readLeb(bytes, at + 1);
    if (minimum.value > maxPages) {
      throw new RangeError(
        `the module's memory begins with ${minimum.value * PAGE_BYTES} bytes, its limit is ${maxPages * PAGE_BYTES}`,
      );
    }
    let wanted = maxPages;
    at = minimum.next;
    if ((flags & HAS_MAXIMUM) !== 0) {
      const maximum = readLeb(bytes, at);
      wanted = Math.min(maximum.value, maxPages);
      at = maximum.next;
    }
    content.push(flags | HAS_MAXIMUM, ...leb(minimum.value), ...leb(wanted));
  }
  return content;
}

function readLeb(bytes: Uint8Array, at: number): { value: number; next: number } {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = bytes[at++]!;
    value += (byte & 0x7f) * 2 ** shift;
    if ((byte & 0x80) === 0) return { value, next: at };
  }
}

function leb(value: number): number[] {
  const out: number[] = [];
  do {
    const rest = Math.floor(value / 128);
    out.push((value % 128) | (rest > 0 ? 0x80 : 0));
    value = rest;
  } while (value > 0);
  return out;
}
