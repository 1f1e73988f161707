/**
 * The part of pcapng that holds packets: section headers, interfaces, enhanced, simple and (obsolete) packet blocks; all
 * other blocks are skipped (IETF draft-ietf-opsawg-pcapng). Easy to get wrong: byte order belongs to a section, time
 * resolution to an interface, timestamps are 64-bit counts that no double holds exactly in nanoseconds, and a
 * simple packet has no time at all: it takes that of the packet before it.
 */

import { badCapture, LINKTYPE_ETHERNET, type RawPacket, withoutFcs } from './capture-record.js';

const SECTION = 0x0a0d0d0a;
const INTERFACE = 1;
const OBSOLETE_PACKET = 2;
const SIMPLE_PACKET = 3;
const ENHANCED_PACKET = 6;
const BYTE_ORDER = 0x1a2b3c4d;
const MAJOR_VERSION = 1;

const OPTION_END = 0;
const EPB_FLAGS = 2;
const IF_TSRESOL = 9;
const IF_FCSLEN = 13;
const IF_TSOFFSET = 14;

interface Interface {
  linkType: number;
  /** 0: no limit. */
  snapLength: number;
  ticksPerSecond: bigint;
  offsetSeconds: number;
  fcsBytes: number;
}

export function isPcapng(view: DataView): boolean {
  return view.byteLength >= 4 && view.getUint32(0, true) === SECTION;
}

export function readPcapng(file: Uint8Array, view: DataView, path: string): RawPacket[] {
  return new Reader(file, view, path).read();
}

class Reader {
  private readonly packets: RawPacket[] = [];
  /** How many at the front came before any packet with a time. */
  private untimed = 0;
  private interfaces: Interface[] = [];
  private little = true;

  constructor(
    private readonly file: Uint8Array,
    private readonly view: DataView,
    private readonly path: string,
  ) {}

  read(): RawPacket[] {
    const { file, view } = this;
    for (let at = 0; at < file.length; ) {
      if (at + 12 > file.length) throw this.bad(at, 'truncated inside a block header');
      if (view.getUint32(at, true) === SECTION) this.startSection(at);
      const size = this.u32(at + 4);
      if (size < 12 || size % 4 !== 0) throw this.bad(at + 4, `a block of ${size} bytes cannot be`);
      if (at + size > file.length) throw this.bad(at, 'truncated inside a block');
      if (this.u32(at + size - 4) !== size)
        throw this.bad(at + size - 4, 'the two lengths of a block are not the same');
      this.readBlock(this.u32(at), at, at + size - 4);
      at += size;
    }
    const first = this.packets[this.untimed];
    for (const packet of this.packets.slice(0, this.untimed)) {
      packet.seconds = first?.seconds ?? 0;
      packet.nanoseconds = first?.nanoseconds ?? 0;
    }
    return this.packets;
  }

  private startSection(at: number): void {
    this.little = this.view.getUint32(at + 8, true) === BYTE_ORDER;
    if (!this.little && this.view.getUint32(at + 8, false) !== BYTE_ORDER)
      throw this.bad(at + 8, 'no byte order mark');
    this.interfaces = [];
  }

  /** `end`: where the block's second length stands. */
  private readBlock(type: number, at: number, end: number): void {
    if (type === SECTION) {
      if (at + 24 > end) throw this.bad(at, 'a section header is too short');
      const major = this.u16(at + 12);
      if (major !== MAJOR_VERSION) throw this.bad(at + 12, `pcapng version ${major} is not known`);
    } else if (type === INTERFACE) this.interfaces.push(this.readInterface(at, end));
    else if (type === ENHANCED_PACKET || type === OBSOLETE_PACKET) this.readPacket(type, at, end);
    else if (type === SIMPLE_PACKET) this.readSimplePacket(at, end);
  }

  private readInterface(at: number, end: number): Interface {
    if (at + 16 > end) throw this.bad(at, 'an interface block is too short');
    const { view } = this;
    const result: Interface = {
      linkType: this.u16(at + 8),
      snapLength: this.u32(at + 12),
      ticksPerSecond: 1_000_000n,
      offsetSeconds: 0,
      fcsBytes: 0,
    };
    this.eachOption(at + 16, end, (code, value, length) => {
      if (code === IF_TSRESOL && length >= 1) {
        const resolution = view.getUint8(value);
        const exponent = BigInt(resolution & 0x7f);
        result.ticksPerSecond = resolution & 0x80 ? 2n ** exponent : 10n ** exponent;
      } else if (code === IF_FCSLEN && length >= 1) result.fcsBytes = fcsBytesOf(view.getUint8(value));
      else if (code === IF_TSOFFSET && length >= 8)
        result.offsetSeconds = Number(view.getBigInt64(value, this.little));
    });
    return result;
  }

  /** Both kinds with a time: they differ only in how the interface is told. */
  private readPacket(type: number, at: number, end: number): void {
    this.expect(at, end, 28);
    const from = this.interfaceOf(type === ENHANCED_PACKET ? this.u32(at + 8) : this.u16(at + 8), at);
    const captured = this.u32(at + 20);
    const originalLength = this.u32(at + 24);
    const ticks = (BigInt(this.u32(at + 12)) << 32n) | BigInt(this.u32(at + 16));
    const bytes = this.bytesOf(at + 28, captured, end);
    let { fcsBytes } = from;
    this.eachOption(at + 28 + ((captured + 3) & ~3), end, (code, value, length) => {
      // Bits 5 to 8: the length of this packet's FCS, 0 if it is not told.
      if (code === EPB_FLAGS && length >= 4) fcsBytes = (this.u32(value) >>> 5) & 15 || fcsBytes;
    });
    this.packets.push({
      seconds: Number(ticks / from.ticksPerSecond) + from.offsetSeconds,
      nanoseconds: Number(((ticks % from.ticksPerSecond) * 1_000_000_000n) / from.ticksPerSecond),
      ...withoutFcs(bytes, originalLength, fcsBytes),
    });
  }

  private readSimplePacket(at: number, end: number): void {
    this.expect(at, end, 12);
    const from = this.interfaceOf(0, at);
    const originalLength = this.u32(at + 8);
    const captured = from.snapLength === 0 ? originalLength : Math.min(originalLength, from.snapLength);
    const last = this.packets.at(-1);
    if (this.packets.length === this.untimed) this.untimed++;
    this.packets.push({
      seconds: last?.seconds ?? 0,
      nanoseconds: last?.nanoseconds ?? 0,
      ...withoutFcs(this.bytesOf(at + 12, captured, end), originalLength, from.fcsBytes),
    });
  }

  private interfaceOf(id: number, at: number): Interface {
    const from = this.interfaces[id];
    if (from === undefined) throw this.bad(at + 8, 'a packet of an interface that was not described');
    if (from.linkType !== LINKTYPE_ETHERNET) throw this.bad(at, `link type ${from.linkType} is not Ethernet`);
    return from;
  }

  private bytesOf(start: number, length: number, end: number): Uint8Array {
    if (start + length > end) throw this.bad(start, 'a packet is longer than its block');
    return this.file.subarray(start, start + length);
  }

  private eachOption(
    from: number,
    end: number,
    use: (code: number, value: number, length: number) => void,
  ): void {
    for (let option = from; option + 4 <= end; ) {
      const code = this.u16(option);
      const length = this.u16(option + 2);
      const value = option + 4;
      if (code === OPTION_END || value + length > end) return;
      use(code, value, length);
      option = value + ((length + 3) & ~3);
    }
  }

  private expect(at: number, end: number, bytes: number): void {
    if (at + bytes > end) throw this.bad(at, 'a packet block is too short');
  }

  private u16(at: number): number {
    return this.view.getUint16(at, this.little);
  }

  private u32(at: number): number {
    return this.view.getUint32(at, this.little);
  }

  private bad(at: number, what: string): Error {
    return badCapture(this.path, at, what);
  }
}

/** The draft counts bits, and some writers count bytes: an FCS of less than a byte is not one. */
function fcsBytesOf(value: number): number {
  return value >= 8 ? value >>> 3 : value;
}
