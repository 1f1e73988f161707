/**
 * Addresses and prefixes as text, and as the words that flow tuples and tables hold: 32 bits each, big-endian, read as
 * signed integers. An IPv4 address is one word followed by three zeros, so a version must stand beside it.
 */

import { isIPv4, isIPv6 } from 'node:net';

export interface Prefix {
  version: 4 | 6;
  /** Four words, host bits cleared. */
  words: Int32Array;
  /** 0..32 or 0..128. */
  bits: number;
}

/** Four words, or undefined if `text` is not an IPv4 address. */
export function ipv4Words(text: string): Int32Array | undefined {
  if (!isIPv4(text)) return undefined;
  const word = text.split('.').reduce((sum, part) => (sum << 8) | Number(part), 0);
  return Int32Array.of(word, 0, 0, 0);
}

/** Four words, or undefined if `text` is not an IPv6 address (one with a zone is not). */
export function ipv6Words(text: string): Int32Array | undefined {
  if (!isIPv6(text) || text.includes('%')) return undefined;
  // A dotted tail (::ffff:1.2.3.4) is two groups.
  const dotted = /^(.*:)(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  const tail = dotted === null ? undefined : ipv4Words(dotted[2]!)![0]! >>> 0;
  const plain =
    tail === undefined ? text : `${dotted![1]}${(tail >>> 16).toString(16)}:${(tail & 0xffff).toString(16)}`;
  const [head = '', rest] = plain.split('::');
  const groupsOf = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const left = groupsOf(head);
  const right = rest === undefined ? [] : groupsOf(rest);
  const groups = [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right];
  return Int32Array.from({ length: 4 }, (_, i) => (groups[2 * i]! << 16) | groups[2 * i + 1]!);
}

export function addressWords(text: string): { version: 4 | 6; words: Int32Array } | undefined {
  const v4 = ipv4Words(text);
  if (v4 !== undefined) return { version: 4, words: v4 };
  const v6 = ipv6Words(text);
  return v6 === undefined ? undefined : { version: 6, words: v6 };
}

/** `address/bits`, or an address alone for all its bits; undefined if it is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const [address = '', bitsText, ...more] = text.split('/');
  const parsed = addressWords(address);
  if (parsed === undefined || more.length > 0) return undefined;
  const width = parsed.version === 4 ? 32 : 128;
  if (bitsText !== undefined && !/^\d{1,3}$/.test(bitsText)) return undefined;
  const bits = bitsText === undefined ? width : Number(bitsText);
  if (bits > width) return undefined;
  for (let i = 0; i < 4; i++) parsed.words[i] = parsed.words[i]! & maskWord(bits, i);
  return { version: parsed.version, words: parsed.words, bits };
}

/** Word `index` of the mask of a prefix of `bits` bits. */
export function maskWord(bits: number, index: number): number {
  const inWord = bits - 32 * index;
  return inWord >= 32 ? -1 : inWord <= 0 ? 0 : -1 << (32 - inWord);
}

/** Six bytes, or undefined. */
export function macBytes(text: string): Uint8Array | undefined {
  if (!/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/i.test(text)) return undefined;
  return Uint8Array.from(text.split(':'), (byte) => Number.parseInt(byte, 16));
}
