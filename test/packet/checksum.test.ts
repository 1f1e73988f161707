/** Checksums: the RFC's example, built frames, and that an update equals a full recomputation. */

import { expect } from 'chai';
import {
  applyDelta,
  applyL4Delta,
  delta16,
  delta32,
  internetChecksum,
  updatedChecksum,
} from '../../src/packet/checksum.js';
import { readI32, readU16, writeI32, writeU16 } from '../../src/packet/headers.js';
import { readCapture } from '../../src/packet/pcap.js';
import { Random } from '../../src/packet/random.js';
import { checksumFault, parsed, randomBytes, randomFrame } from './frames.js';

describe('checksums', () => {
  it('agree with the examples of RFC 1071 and RFC 1624', () => {
    expect(internetChecksum(Uint8Array.of(0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7), 0, 8)).to.equal(
      0x220d,
    );
    expect(updatedChecksum(0xdd2f, delta16(0x5555, 0x3285))).to.equal(0x0000);
  });

  it('are right in the real capture and in built frames', () => {
    for (const { bytes } of readCapture('data/openNetVM-64B_download.pcap').packets) {
      if (checksumFault(bytes) !== '') expect.fail(checksumFault(bytes));
    }
    const random = new Random(3);
    for (let i = 0; i < 2_000; i++) expect(checksumFault(randomFrame(random))).to.equal('');
  });

  it('updated word by word equal a full recomputation', () => {
    const random = new Random(4);
    for (let i = 0; i < 20_000; i++) {
      const bytes = randomBytes(random, 2 * (4 + random.below(20)));
      bytes[4] = 0x45;
      writeU16(bytes, 0, 0);
      writeU16(bytes, 0, internetChecksum(bytes, 0, bytes.length));
      const wide = random.below(2) === 0;
      const at = 4 + 2 * random.below((bytes.length - (wide ? 6 : 4)) / 2);
      const fresh = random.below(3) === 0 ? -random.below(2) : random.u32() | 0;
      if (wide) {
        applyDelta(bytes, 0, delta32(readI32(bytes, at), fresh));
        writeI32(bytes, at, fresh);
      } else {
        applyDelta(bytes, 0, delta16(readU16(bytes, at), fresh));
        writeU16(bytes, at, fresh);
      }
      const held = readU16(bytes, 0);
      writeU16(bytes, 0, 0);
      // Zero has two forms; all-zero data, where they would differ, has no place in a header.
      if (bytes.some((byte) => byte !== 0)) expect(held).to.equal(internetChecksum(bytes, 0, bytes.length));
    }
  });

  it('of UDP: none stays none, and a computed zero is sent as 0xffff', () => {
    const random = new Random(5);
    const none = randomFrame(random, { version: 4, protocol: 'udp', noUdpChecksum: true });
    applyL4Delta(none, parsed(none), 1234);
    expect(readU16(none, parsed(none).l4Checksum)).to.equal(0);
    const frame = randomFrame(random, { version: 4, protocol: 'udp', payload: new Uint8Array(2) });
    const h = parsed(frame);
    // Two payload bytes that take up the whole checksum make it zero.
    writeU16(frame, h.payloadOffset, readU16(frame, h.l4Checksum));
    applyL4Delta(frame, h, delta16(0, readU16(frame, h.payloadOffset)));
    expect(readU16(frame, h.l4Checksum)).to.equal(0xffff);
    expect(checksumFault(frame)).to.equal('');
  });
});
