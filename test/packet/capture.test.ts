/** Captures: every byte order and resolution, pcapng, disorder, and each kind of damage. */

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { NemoError } from '../../src/model/errors.js';
import { Headers, OK, parseHeaders } from '../../src/packet/headers.js';
import { type Capture, parseCapture, readCapture } from '../../src/packet/pcap.js';

const REAL = 'data/openNetVM-64B_download.pcap';

function pcap(
  records: Array<[seconds: number, fraction: number, bytes: number[]]>,
  little = true,
  nano = false,
): Buffer {
  const u32 = (value: number) => {
    const bytes = Buffer.alloc(4);
    if (little) bytes.writeUInt32LE(value);
    else bytes.writeUInt32BE(value);
    return bytes;
  };
  const parts = [u32(nano ? 0xa1b23c4d : 0xa1b2c3d4), u32(0x00040002), u32(0), u32(0), u32(65535), u32(1)];
  for (const [seconds, fraction, bytes] of records) {
    parts.push(u32(seconds), u32(fraction), u32(bytes.length), u32(bytes.length + 100), Buffer.from(bytes));
  }
  return Buffer.concat(parts);
}

function pcapng(little: boolean, tsresol: number, packets: Array<[ticks: bigint, bytes: number[]]>): Buffer {
  const number = (value: number, size: 2 | 4) => {
    const bytes = Buffer.alloc(size);
    if (little) bytes.writeUIntLE(value, 0, size);
    else bytes.writeUIntBE(value, 0, size);
    return bytes;
  };
  const block = (type: number, ...body: Buffer[]) => {
    const content = Buffer.concat(body);
    const padded = Buffer.concat([content], Math.ceil(content.length / 4) * 4);
    const size = number(padded.length + 12, 4);
    return Buffer.concat([number(type, 4), size, padded, size]);
  };
  const resolution = [number(9, 2), number(1, 2), Buffer.from([tsresol, 0, 0, 0])];
  return Buffer.concat([
    block(0x0a0d0d0a, number(0x1a2b3c4d, 4), number(1, 2), number(0, 2), Buffer.alloc(8, 0xff)),
    block(1, number(1, 2), number(0, 2), number(0, 4), ...resolution, number(0, 4)),
    block(5, number(0, 4), Buffer.alloc(8)),
    ...packets.map(([ticks, bytes]) =>
      block(
        6,
        number(0, 4),
        number(Number(ticks >> 32n), 4),
        number(Number(ticks & 0xffffffffn), 4),
        number(bytes.length, 4),
        number(bytes.length, 4),
        Buffer.from(bytes),
      ),
    ),
  ]);
}

function refusal(file: Uint8Array): NemoError {
  try {
    parseCapture(file, 'x.pcap');
  } catch (error) {
    return error as NemoError;
  }
  throw new Error('the damaged capture was accepted');
}

const shape = ({ packets }: Capture) => packets.map(({ timeNs, bytes }) => [timeNs, ...bytes]);

describe('captures', () => {
  it('reads the real capture whole, sorted, with frames that parse', () => {
    const { packets, durationNs } = readCapture(REAL);
    expect(packets).to.have.length(14_328);
    expect(durationNs).to.equal(14_079_922_000);
    expect(packets[0]!.timeNs).to.equal(0);
    expect(packets.every(({ timeNs }, i) => i === 0 || timeNs >= packets[i - 1]!.timeNs)).to.equal(true);
    const headers = new Headers();
    expect(packets.every(({ bytes }) => parseHeaders(bytes, bytes.length, headers) === OK)).to.equal(true);
  });

  for (const little of [true, false]) {
    for (const nano of [true, false]) {
      it(`reads pcap, ${little ? 'little' : 'big'} endian, ${nano ? 'ns' : 'us'}`, () => {
        const scale = nano ? 1 : 1000;
        const file = pcap(
          [
            [1_700_000_000, 999_999, [1]],
            [1_700_000_001, 1, [2, 3]],
          ],
          little,
          nano,
        );
        const capture = parseCapture(file, 'x');
        expect(shape(capture)).to.deep.equal([
          [0, 1],
          [1e9 - 999_998 * scale, 2, 3],
        ]);
        expect(capture.packets[1]!.originalLength).to.equal(102);
      });
    }
  }

  it('sorts by time and keeps the order of equal times', () => {
    const file = pcap([
      [5, 0, [1]],
      [3, 0, [2]],
      [5, 0, [3]],
      [3, 0, [4]],
    ]);
    expect(shape(parseCapture(file, 'x'))).to.deep.equal([
      [0, 2],
      [0, 4],
      [2e9, 1],
      [2e9, 3],
    ]);
  });

  it('carries fractions beyond a second', () => {
    const file = pcap([
      [5, 2_000_000, [1]],
      [6, 500_000, [2]],
    ]);
    expect(shape(parseCapture(file, 'x'))).to.deep.equal([
      [0, 2],
      [5e8, 1],
    ]);
  });

  for (const little of [true, false]) {
    it(`reads pcapng, ${little ? 'little' : 'big'} endian, exact to the nanosecond`, () => {
      const start = 1_700_000_000_123_456_789n;
      const file = pcapng(little, 9, [
        [start + 1_000_000_001n, [7, 8, 9, 10, 11]],
        [start, [1]],
      ]);
      expect(shape(parseCapture(file, 'x'))).to.deep.equal([
        [0, 1],
        [1_000_000_001, 7, 8, 9, 10, 11],
      ]);
    });
  }

  it('names the byte at which a capture is truncated', () => {
    const whole = pcap([
      [1, 0, [1, 2, 3, 4]],
      [2, 0, [5, 6, 7, 8]],
    ]);
    for (let length = 25; length < whole.length; length++) {
      if (length === 44) continue; // ends between two packets: nothing tells that more followed
      const error = refusal(whole.subarray(0, length));
      expect(error.code).to.equal('BAD_CAPTURE');
      expect(error.message).to.contain('x.pcap');
      expect(error.details!.offset).to.equal(length < 44 ? 24 : 44);
    }
    expect(refusal(whole.subarray(0, 20)).details!.offset).to.equal(20);
  });

  it('refuses what is not a capture of Ethernet packets', () => {
    const wifi = pcap([[1, 0, [1]]]);
    wifi.writeUInt32LE(105, 20);
    const huge = pcap([[1, 0, [1]]]);
    huge.writeUInt32LE(0x7fffffff, 32);
    for (const file of [
      Buffer.alloc(0),
      Buffer.from('hello, world, this is text'),
      wifi,
      huge,
      pcap([]),
      pcapng(true, 9, []),
    ]) {
      expect(refusal(file).code).to.equal('BAD_CAPTURE');
    }
    const cut = pcapng(true, 9, [[1n, [1, 2, 3]]]);
    expect(refusal(cut.subarray(0, cut.length - 3)).message).to.contain('truncated');
  });

  it('never fails otherwise, however a file is damaged', () => {
    const files = [
      pcap([
        [1, 0, [1, 2]],
        [2, 0, [3]],
      ]),
      pcapng(true, 9, [[1n, [1, 2, 3]]]),
    ];
    for (const file of files) {
      for (let at = 0; at < file.length; at++) {
        for (const value of [0, 1, 0x7f, 0x80, 0xff]) {
          const damaged = Buffer.from(file);
          damaged[at] = value;
          try {
            parseCapture(damaged, 'x');
          } catch (error) {
            expect(error).to.be.instanceOf(NemoError);
            expect((error as NemoError).code).to.equal('BAD_CAPTURE');
          }
        }
      }
    }
  });

  it('tells a missing file from a bad one', () => {
    const folder = mkdtempSync(join(tmpdir(), 'nemo-capture-'));
    try {
      expect(() => readCapture(join(folder, 'none.pcap')))
        .to.throw(NemoError)
        .with.property('code', 'NOT_FOUND');
      writeFileSync(join(folder, 'bad.pcap'), 'no');
      expect(() => readCapture(join(folder, 'bad.pcap')))
        .to.throw(/bad\.pcap/)
        .with.property('code', 'BAD_CAPTURE');
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
