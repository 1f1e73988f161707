/**
 * Changes a module's own memory before it is compiled. Its maximum becomes what its function may have: one that asks
 * for more gets -1 from memory.grow, as it would on a small machine. And it becomes an import, so that one memory can
 * serve a fresh instance each call: making one takes some 20 us, clearing one that is there a few. Nothing else in the
 * bytes is changed: a module has one memory, whose number is 0 whether it is its own or imported.
 */

import { Buffer } from 'node:buffer';

const HEADER_BYTES = 8;
export const CUSTOM_SECTION = 0;
const IMPORT_SECTION = 2;
export const MEMORY_SECTION = 5;
const MEMORY_KIND = 2;
const HAS_MAXIMUM = 1;
export const PAGE_BYTES = 65_536;
/** The name by which the memory is imported. */
export const OWN_MEMORY = ['nemo', 'memory'] as const;

export interface MemorySize {
  initial: number;
  maximum: number;
}

interface Section {
  id: number;
  start: number;
  content: number;
  end: number;
}

/** `bytes` must be a valid module. Without `memory` they had none. Throws RangeError if it begins above the limit. */
export function takeMemoryOut(
  bytes: Uint8Array,
  maxPages: number,
): { bytes: Uint8Array; memory?: MemorySize } {
  const all = sections(bytes);
  const own = all.find(({ id }) => id === MEMORY_SECTION);
  if (own === undefined) return { bytes };
  const memory = sizeOf(bytes, own, maxPages);
  if (memory === undefined) return { bytes };
  const imported = [
    ...OWN_MEMORY.flatMap(text),
    MEMORY_KIND,
    HAS_MAXIMUM,
    ...leb(memory.initial),
    ...leb(memory.maximum),
  ];
  const imports = all.find(({ id }) => id === IMPORT_SECTION);
  const count = imports === undefined ? { value: 0, next: 0 } : readLeb(bytes, imports.content);
  const others = imports === undefined ? bytes.subarray(0, 0) : bytes.subarray(count.next, imports.end);
  const head = leb(count.value + 1);
  const size = leb(head.length + others.length + imported.length);
  // Sections stand in the order of their numbers; custom ones anywhere.
  const next = all.find(({ id }) => id > IMPORT_SECTION && id !== CUSTOM_SECTION)!;
  const [from, to] = imports === undefined ? [next.start, next.start] : [imports.start, imports.end];
  const parts = [
    bytes.subarray(0, from),
    Uint8Array.from([IMPORT_SECTION, ...size, ...head]),
    others,
    Uint8Array.from(imported),
    bytes.subarray(to, own.start),
    bytes.subarray(own.end),
  ];
  const changed = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    changed.set(part, at);
    at += part.length;
  }
  return { bytes: changed, memory };
}

/** Of bytes that nobody may have checked, too. */
export function sections(bytes: Uint8Array): Section[] {
  const all: Section[] = [];
  for (let at = HEADER_BYTES; at < bytes.length; ) {
    const size = readLeb(bytes, at + 1);
    const end = size.next + size.value;
    all.push({ id: bytes[at]!, start: at, content: size.next, end });
    at = end;
  }
  return all;
}

/** Of the one memory; undefined if the section is empty. */
function sizeOf(bytes: Uint8Array, { content }: Section, maxPages: number): MemorySize | undefined {
  const count = readLeb(bytes, content);
  if (count.value === 0) return undefined;
  const flags = bytes[count.next]!;
  if (count.value > 1 || flags > HAS_MAXIMUM)
    throw new RangeError('it has more than one memory, or one of a kind that is not known here');
  const initial = readLeb(bytes, count.next + 1);
  if (initial.value > maxPages) {
    throw new RangeError(
      `the module's memory begins with ${initial.value * PAGE_BYTES} bytes, its limit is ${maxPages * PAGE_BYTES}`,
    );
  }
  const wanted = flags === HAS_MAXIMUM ? readLeb(bytes, initial.next).value : maxPages;
  return { initial: initial.value, maximum: Math.min(wanted, maxPages) };
}

function text(value: string): number[] {
  return [value.length, ...Buffer.from(value)];
}

export function readLeb(bytes: Uint8Array, at: number): { value: number; next: number } {
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
