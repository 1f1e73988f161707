/** A capture with simple and obsolete packet blocks lost half of its packets, and nobody said so. */

import { expect } from 'chai';
import { parseCapture } from '../../src/packet/pcap.js';

const words = (...values: number[]): Buffer => Buffer.from(Uint32Array.from(values).buffer);

describe('report: packets of pcapng are dropped in silence', () => {
  it('finds all four packets of a file with every kind of packet block', () => {
    const file = Buffer.concat([
      words(0x0a0d0d0a, 28, 0x1a2b3c4d, 1, 0xffffffff, 0xffffffff, 28),
      words(1, 20, 1, 0, 20),
      words(6, 36, 0, 0, 1, 4, 4, 0x11111111, 36),
      words(3, 20, 4, 0x22222222, 20),
      words(2, 36, 0, 0, 2, 4, 4, 0x33333333, 36),
      words(6, 36, 0, 0, 3, 4, 4, 0x44444444, 36),
    ]);
    const firstBytes = parseCapture(file, 'x').packets.map(({ bytes }) => bytes[0]);
    expect(firstBytes).to.deep.equal([0x11, 0x22, 0x33, 0x44]);
  });
});
