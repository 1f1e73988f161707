import { expect } from 'chai';
import {
  BODY_MAX_BYTES,
  FrameDecoder,
  FrameError,
  type FrameHeader,
  FrameWriter,
  HEADER_BYTES,
} from '../../src/runner/frames.js';

interface Seen extends FrameHeader {
  meta: string;
  body: Buffer;
}

function decode(pieces: Iterable<Buffer>, maxBytesOf?: () => number): Seen[] {
  const seen: Seen[] = [];
  const decoder = new FrameDecoder((header, meta, body) => {
    seen.push({ ...header, meta: meta.toString(), body: Buffer.from(body) });
  }, maxBytesOf);
  for (const piece of pieces) decoder.push(piece);
  return seen;
}

function encode(add: (writer: FrameWriter) => void): Buffer {
  const written: Buffer[] = [];
  const writer = new FrameWriter((bytes) => written.push(Buffer.from(bytes)) > 0);
  add(writer);
  writer.flush();
  return Buffer.concat(written);
}

function* piecesOf(bytes: Buffer, size: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

describe('frames', () => {
  const samples = (writer: FrameWriter) => {
    writer.add(2, 1, 200, 7, 30_000, '{"ä":1}', Buffer.from([0, 255, 10]));
    writer.add(3, 0, 0, 0xffffffff, 0, '', '');
    writer.add(4, 2, 65_535, 1, 0xffffffff, '', 'grüße');
    writer.add(5, 0, 0, 2, 0, 'm'.repeat(20_000), Buffer.alloc(70_000, 3));
  };

  it('come out as they went in, however the bytes are cut', () => {
    const bytes = encode(samples);
    const whole = decode([bytes]);
    expect(whole).to.have.length(4);
    expect(whole[0]).to.include({
      type: 2,
      kind: 1,
      status: 200,
      callId: 7,
      timeMs: 30_000,
      meta: '{"ä":1}',
    });
    expect([...whole[0]!.body]).to.deep.equal([0, 255, 10]);
    expect(whole[1]).to.include({ type: 3, callId: 0xffffffff, meta: '' });
    expect(whole[1]!.body).to.have.length(0);
    expect(whole[2]).to.include({ status: 65_535, timeMs: 0xffffffff });
    expect(whole[2]!.body.toString()).to.equal('grüße');
    expect(whole[3]!.meta).to.have.length(20_000);
    expect(whole[3]!.body.equals(Buffer.alloc(70_000, 3))).to.equal(true);
    for (const size of [1, 2, 3, 7, HEADER_BYTES - 1, HEADER_BYTES, HEADER_BYTES + 1, 64, 65_536]) {
      expect(decode(piecesOf(bytes, size)), `pieces of ${size}`).to.deep.equal(whole);
    }
  });

  it('carry a body of 6 MB cut into socket reads', () => {
    const body = Buffer.alloc(6 * 1024 * 1024, 'nemo');
    const seen = decode(
      piecesOf(
        encode((writer) => writer.add(1, 3, 200, 1, 0, '', body)),
        65_536,
      ),
    );
    expect(seen).to.have.length(1);
    expect(seen[0]!.body.equals(body)).to.equal(true);
  });

  it('keep their order when many small ones and a large one share the slabs', () => {
    const bytes = encode((writer) => {
      for (let i = 0; i < 5_000; i++)
        writer.add(1, 0, 0, i, 0, `{"i":${i}}`, i % 100 === 0 ? Buffer.alloc(20_000, i) : 'x');
    });
    const seen = decode(piecesOf(bytes, 10_000));
    expect(seen.map((frame) => frame.callId)).to.deep.equal(Array.from({ length: 5_000 }, (_, i) => i));
    expect(seen.every((frame) => frame.meta === `{"i":${frame.callId}}`)).to.equal(true);
  });

  it('refuse a length that no correct peer claims, before any memory is taken for it', () => {
    const header = Buffer.alloc(HEADER_BYTES);
    header.writeUInt32LE(0xffffffff, 0);
    expect(() => decode([header])).to.throw(FrameError, '4294967295');
    header.writeUInt32LE(0, 0);
    header.writeUInt32LE(0x7fffffff, 4);
    expect(() => decode([header])).to.throw(FrameError);
    header.writeUInt32LE(0, 4);
    header.writeUInt32LE(100_001, 0);
    expect(() => decode([header], () => 100_000)).to.throw(FrameError, '100001');
    expect(decode([header], () => 100_001)).to.have.length(0);
  });

  it('are not made with a body that the other side would refuse', () => {
    const writer = new FrameWriter(() => true);
    expect(() => writer.add(1, 0, 0, 1, 0, '', Buffer.alloc(BODY_MAX_BYTES + 1))).to.throw(RangeError);
    expect(() => writer.add(1, 0, 0, 1, 0, 'x'.repeat(300_000), '')).to.throw(RangeError);
  });
});
