/**
 * Capture files block by block. PCAP is draft-ietf-opsawg-pcap, PCAPNG is draft-ietf-opsawg-pcapng; one line a rule,
 * with its section. A file is what its parts are, one after the other; the result is each packet as `time:bytes`.
 */

import { expect } from 'chai';
import { parseCapture } from '../../src/packet/pcap.js';

class Writer {
  constructor(readonly little: boolean) {}

  u16(...values: number[]): Buffer {
    return this.numbers(values, 2);
  }

  u32(...values: number[]): Buffer {
    return this.numbers(values, 4);
  }

  block(type: number, ...body: Uint8Array[]): Buffer {
    const padded = pad(Buffer.concat(body));
    const size = this.u32(padded.length + 12);
    return Buffer.concat([this.u32(type), size, padded, size]);
  }

  option(code: number, ...value: number[]): Buffer {
    return Buffer.concat([this.u16(code, value.length), pad(Buffer.from(value))]);
  }

  section(version: [number, number] = [1, 0], ...options: Buffer[]): Buffer {
    const magic = this.u32(0x1a2b3c4d);
    return this.block(0x0a0d0d0a, magic, this.u16(...version), Buffer.alloc(8, 0xff), ...options);
  }

  interface(snapLength = 0, options: Buffer[] = [], linkType = 1): Buffer {
    return this.block(1, this.u16(linkType, 0), this.u32(snapLength), ...options);
  }

  enhanced(
    ticks: bigint,
    bytes: number[],
    more: { id?: number; original?: number; options?: Buffer[] } = {},
  ): Buffer {
    const head = this.u32(more.id ?? 0, ...halves(ticks), bytes.length, more.original ?? bytes.length);
    return this.block(6, head, pad(Buffer.from(bytes)), ...(more.options ?? []));
  }

  obsolete(ticks: bigint, bytes: number[], drops = 0xffff): Buffer {
    const head = [this.u16(0, drops), this.u32(...halves(ticks), bytes.length, bytes.length)];
    return this.block(2, ...head, pad(Buffer.from(bytes)));
  }

  simple(bytes: number[], original = bytes.length): Buffer {
    return this.block(3, this.u32(original), pad(Buffer.from(bytes)));
  }

  pcapHeader(magic = 0xa1b2c3d4, version: [number, number] = [2, 4], link = 1): Buffer {
    return Buffer.concat([this.u32(magic), this.u16(...version), this.u32(0, 0, 65_535, link)]);
  }

  record(seconds: number, fraction: number, bytes: number[], original = bytes.length): Buffer {
    return Buffer.concat([this.u32(seconds, fraction, bytes.length, original), Buffer.from(bytes)]);
  }

  private numbers(values: number[], size: 2 | 4): Buffer {
    const bytes = Buffer.alloc(values.length * size);
    for (const [i, value] of values.entries()) {
      if (this.little) bytes.writeUIntLE(value, i * size, size);
      else bytes.writeUIntBE(value, i * size, size);
    }
    return bytes;
  }
}

function pad(bytes: Buffer): Buffer {
  return Buffer.concat([bytes], Math.ceil(bytes.length / 4) * 4);
}

function halves(ticks: bigint): [number, number] {
  return [Number(ticks >> 32n), Number(ticks & 0xffffffffn)];
}

const L = new Writer(true);
const B = new Writer(false);

/** What is read, or a part of the message with which the file is refused. */
type Rule = readonly [section: string, what: string, parts: readonly Buffer[], result: string[] | RegExp];

const RULES: readonly Rule[] = [
  [
    'PCAP 4',
    'magic 0xa1b2c3d4: microseconds',
    [L.pcapHeader(), L.record(5, 0, [1]), L.record(5, 7, [2])],
    ['0:1', '7000:2'],
  ],
  [
    'PCAP 4',
    'magic 0xa1b23c4d: nanoseconds',
    [L.pcapHeader(0xa1b23c4d), L.record(5, 0, [1]), L.record(5, 7, [2])],
    ['0:1', '7:2'],
  ],
  [
    'PCAP 4',
    'the byte order is that of the magic number',
    [B.pcapHeader(), B.record(5, 0, [1]), B.record(6, 0, [2])],
    ['0:1', '1000000000:2'],
  ],
  [
    'PCAP 4',
    'the version does not matter: no other has the magic numbers',
    [L.pcapHeader(undefined, [2, 9]), L.record(5, 0, [1])],
    ['0:1'],
  ],
  [
    'PCAP 4',
    'another magic number is not read',
    [L.pcapHeader(0xa1b2cd34), L.record(5, 0, [1])],
    /not a pcap/,
  ],
  [
    'PCAP 4',
    'FCS length, in 16-bit words, if its bit is set',
    [L.pcapHeader(undefined, undefined, 0x24000001), L.record(5, 0, [1, 2, 9, 9, 9, 9])],
    ['0:1,2'],
  ],
  [
    'PCAP 4',
    'FCS length without its bit says nothing',
    [L.pcapHeader(undefined, undefined, 0x20000001), L.record(5, 0, [1, 2])],
    ['0:1,2'],
  ],
  [
    'PCAP 4',
    'an FCS that the capture cut off is not cut off again',
    [L.pcapHeader(undefined, undefined, 0x24000001), L.record(5, 0, [1, 2, 9], 6)],
    ['0:1,2'],
  ],
  [
    'PCAP 4',
    'another link type than Ethernet is refused',
    [L.pcapHeader(undefined, undefined, 113), L.record(5, 0, [1])],
    /link type 113/,
  ],
  [
    'PCAP 5',
    'a captured length below the original one',
    [L.pcapHeader(), L.record(5, 0, [1, 2], 60)],
    ['0:1,2/60'],
  ],
  [
    'PCAP 5',
    'records out of order',
    [L.pcapHeader(), L.record(6, 0, [2]), L.record(5, 0, [1])],
    ['0:1', '1000000000:2'],
  ],
  [
    'PCAPNG 3.1',
    'a block of an unknown type is skipped',
    [L.section(), L.interface(), L.block(0x7777, L.u32(1, 2, 3)), L.enhanced(1n, [1])],
    ['0:1'],
  ],
  [
    'PCAPNG 3.1',
    'the two lengths of a block are the same',
    [L.section(), L.interface(), Buffer.concat([L.enhanced(1n, [1]).subarray(0, -4), L.u32(40)])],
    /two lengths/,
  ],
  [
    'PCAPNG 3.1',
    'a length is a multiple of 4',
    [L.section(), Buffer.concat([L.u32(1, 18), Buffer.alloc(6), L.u32(18)])],
    /18 bytes cannot be/,
  ],
  [
    'PCAPNG 3.5',
    'unknown options are skipped',
    [
      L.section(),
      L.interface(0, [L.option(2, 104, 105), L.option(9, 9), L.option(0)]),
      L.enhanced(0n, [1]),
      L.enhanced(1n, [2]),
    ],
    ['0:1', '1:2'],
  ],
  [
    'PCAPNG 3.5',
    'opt_endofopt ends the options',
    [L.section(), L.interface(0, [L.option(0), L.option(9, 9)]), L.enhanced(0n, [1]), L.enhanced(1n, [2])],
    ['0:1', '1000:2'],
  ],
  [
    'PCAPNG 4.1',
    'a section has a byte order of its own',
    [L.section(), L.interface(), L.enhanced(1n, [1]), B.section(), B.interface(), B.enhanced(2n, [2])],
    ['0:1', '1000:2'],
  ],
  [
    'PCAPNG 4.1',
    'a section has interfaces of its own',
    [L.section(), L.interface(), L.enhanced(1n, [1]), L.section(), L.enhanced(2n, [2])],
    /not described/,
  ],
  [
    'PCAPNG 4.1',
    'version 1.2 is read as 1.0',
    [L.section([1, 2]), L.interface(), L.enhanced(1n, [1])],
    ['0:1'],
  ],
  [
    'PCAPNG 4.1',
    'another major version is not read',
    [L.section([2, 0]), L.interface(), L.enhanced(1n, [1])],
    /version 2/,
  ],
  [
    'PCAPNG 4.2',
    'if_tsresol, a power of 10',
    [L.section(), L.interface(0, [L.option(9, 3)]), L.enhanced(0n, [1]), L.enhanced(1n, [2])],
    ['0:1', '1000000:2'],
  ],
  [
    'PCAPNG 4.2',
    'if_tsresol, a power of 2',
    [L.section(), L.interface(0, [L.option(9, 0x81)]), L.enhanced(0n, [1]), L.enhanced(1n, [2])],
    ['0:1', '500000000:2'],
  ],
  [
    'PCAPNG 4.2',
    'without if_tsresol microseconds',
    [L.section(), L.interface(), L.enhanced(0n, [1]), L.enhanced(1n, [2])],
    ['0:1', '1000:2'],
  ],
  [
    'PCAPNG 4.2',
    'if_tsoffset, of one interface among two',
    [
      L.section(),
      L.interface(),
      L.interface(0, [L.option(14, 2, 0, 0, 0, 0, 0, 0, 0)]),
      L.enhanced(0n, [1]),
      L.enhanced(0n, [2], { id: 1 }),
    ],
    ['0:1', '2000000000:2'],
  ],
  [
    'PCAPNG 4.2',
    'if_fcslen, in bits',
    [L.section(), L.interface(0, [L.option(13, 32)]), L.enhanced(1n, [1, 9, 9, 9, 9])],
    ['0:1'],
  ],
  [
    'PCAPNG 4.2',
    'an interface that is not Ethernet and of which nothing was captured',
    [L.section(), L.interface(), L.interface(0, [], 113), L.enhanced(1n, [1])],
    ['0:1'],
  ],
  [
    'PCAPNG 4.2',
    'a packet of an interface that is not Ethernet is refused',
    [L.section(), L.interface(0, [], 113), L.enhanced(1n, [1])],
    /link type 113/,
  ],
  [
    'PCAPNG 4.3',
    'enhanced packet block, a packet that was cut',
    [L.section(), L.interface(2), L.enhanced(1n, [1, 2], { original: 60 })],
    ['0:1,2/60'],
  ],
  [
    'PCAPNG 4.3',
    'a timestamp of more than 32 bits',
    [L.section(), L.interface(), L.enhanced(0n, [1]), L.enhanced(1n << 33n, [2])],
    ['0:1', `${2 ** 33 * 1000}:2`],
  ],
  [
    'PCAPNG 4.3',
    'epb_flags: an FCS length of the packet itself',
    [L.section(), L.interface(), L.enhanced(1n, [1, 9, 9], { options: [L.option(2, 2 << 5, 0, 0, 0)] })],
    ['0:1'],
  ],
  [
    'PCAPNG 4.4',
    'simple packet block: counted, at the time of the packet before it',
    [
      L.section(),
      L.interface(),
      L.enhanced(1n, [1]),
      L.enhanced(2n, [2]),
      L.simple([3]),
      L.enhanced(3n, [4]),
    ],
    ['0:1', '1000:2', '1000:3', '2000:4'],
  ],
  [
    'PCAPNG 4.4',
    'simple packets at the front have the time of the first one that has any',
    [L.section(), L.interface(), L.simple([1]), L.enhanced(5n, [2])],
    ['0:1', '0:2'],
  ],
  [
    'PCAPNG 4.4',
    'simple packets only',
    [L.section(), L.interface(), L.simple([1]), L.simple([2, 3, 4, 5, 6])],
    ['0:1', '0:2,3,4,5,6'],
  ],
  [
    'PCAPNG 4.4',
    'as much was captured as SnapLen allows',
    [L.section(), L.interface(2), L.simple([1, 2], 60)],
    ['0:1,2/60'],
  ],
  [
    'PCAPNG 4.4',
    'its interface is the first',
    [L.section(), L.interface(0, [], 1), L.interface(0, [], 113), L.simple([1])],
    ['0:1'],
  ],
  ['PCAPNG 4.4', 'without an interface', [L.section(), L.simple([1])], /not described/],
  [
    'PCAPNG 4.4',
    'longer than its block',
    [L.section(), L.interface(), L.simple([1], 60)],
    /longer than its block/,
  ],
  [
    'PCAPNG 4.5',
    'name resolution blocks are skipped',
    [L.section(), L.interface(), L.block(4, L.u16(0, 0)), L.enhanced(1n, [1])],
    ['0:1'],
  ],
  [
    'PCAPNG 4.6',
    'interface statistics blocks are skipped',
    [L.section(), L.interface(), L.enhanced(1n, [1]), L.block(5, L.u32(0, 0, 9))],
    ['0:1'],
  ],
  [
    'PCAPNG 4.7',
    'decryption secrets blocks are skipped',
    [L.section(), L.block(10, L.u32(0x544c534b, 4, 0)), L.interface(), L.enhanced(1n, [1])],
    ['0:1'],
  ],
  [
    'PCAPNG 4.8',
    'custom blocks are skipped, of both kinds',
    [
      L.section(),
      L.block(0xbad, L.u32(1)),
      L.block(0x40000bad, L.u32(1)),
      L.interface(),
      L.enhanced(1n, [1]),
    ],
    ['0:1'],
  ],
  [
    'PCAPNG A',
    'the obsolete packet block',
    [L.section(), L.interface(), L.obsolete(1n, [1]), L.obsolete(3n, [2, 3], 7)],
    ['0:1', '2000:2,3'],
  ],
  [
    'PCAPNG A',
    'all kinds of packets in one file, big endian',
    [
      B.section(),
      B.interface(),
      B.obsolete(1n, [1]),
      B.enhanced(2n, [2]),
      B.simple([3]),
      B.enhanced(3n, [4]),
    ],
    ['0:1', '1000:2', '1000:3', '2000:4'],
  ],
];

describe('conformance: captures', () => {
  for (const [section, what, parts, result] of RULES) {
    it(`${section}: ${what}`, () => {
      const read = () => parseCapture(Buffer.concat(parts), 'file');
      if (result instanceof RegExp) {
        expect(read).to.throw(result).with.property('code', 'BAD_CAPTURE');
        return;
      }
      const packets = read().packets.map(({ timeNs, bytes, originalLength }) => {
        const cut = originalLength === bytes.length ? '' : `/${originalLength}`;
        return `${timeNs}:${[...bytes].join()}${cut}`;
      });
      expect(packets).to.deep.equal(result);
    });
  }
});
