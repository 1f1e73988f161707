/** The tunnel: round trips over v4 and v6, forgery, replay, restarts, capacity, and nonces. */

import { expect } from 'chai';
import { DROP } from '../../../src/packet/functions/function.js';
import { ReplayWindow } from '../../../src/packet/functions/replay-window.js';
import { Tunnel } from '../../../src/packet/functions/tunnel.js';
import { Random } from '../../../src/packet/random.js';
import { checksumFault, randomBytes, randomFrame, SLOT_BYTES, slotOf } from '../frames.js';

const ENDS = { local: '198.51.100.1', remote: '198.51.100.2' };
const MIRRORED = { local: ENDS.remote, remote: ENDS.local };
const ENDS6 = { local: 'fd00::1', remote: 'fd00::2' };

function seal(tunnel: Tunnel, frame: Uint8Array): Uint8Array {
  const slot = slotOf(frame);
  const length = tunnel.process(slot, frame.length, 0, 0);
  expect(length).to.equal(frame.length + tunnel.overheadBytes);
  return slot.slice(0, length);
}

function open(tunnel: Tunnel, sealed: Uint8Array): Uint8Array | undefined {
  const slot = slotOf(sealed);
  const length = tunnel.process(slot, sealed.length, 1, 0);
  return length === DROP ? undefined : slot.slice(0, length);
}

/** Time-ordered: sessions are told apart by the millisecond of their start. */
async function laterTunnel(config: unknown): Promise<Tunnel> {
  for (const start = Date.now(); Date.now() === start; ) await new Promise(setImmediate);
  return new Tunnel(config);
}

describe('tunnel', () => {
  const settings = [
    ['IPv4, AES-256', ENDS, MIRRORED],
    [
      'IPv6, AES-128',
      { ...ENDS6, key: 'ab'.repeat(16) },
      { local: 'fd00::2', remote: 'fd00::1', key: 'ab'.repeat(16) },
    ],
  ] as const;
  for (const [name, here, there] of settings) {
    it(`restores every frame at the other end (${name})`, () => {
      const random = new Random(71);
      const sender = new Tunnel(here);
      const receiver = new Tunnel(there);
      for (let i = 0; i < 500; i++) {
        const frame = i % 5 === 0 ? randomBytes(random, 14 + random.below(1400)) : randomFrame(random);
        const sealed = seal(sender, frame);
        expect(checksumFault(sealed)).to.equal('');
        if (frame.length > 20)
          expect(Buffer.from(sealed).includes(Buffer.from(frame.subarray(12)))).to.equal(false);
        expect(open(receiver, sealed)).to.deep.equal(frame);
      }
      expect(receiver.counters.opened).to.equal(500);
    });
  }

  it('accepts each packet once, in any order within the window', () => {
    const sender = new Tunnel(ENDS);
    const receiver = new Tunnel({ ...MIRRORED, replayWindow: 64 });
    const sealed = Array.from({ length: 100 }, (_, i) => seal(sender, new Uint8Array(60).fill(i)));
    expect(open(receiver, sealed[50]!)).to.not.equal(undefined);
    expect(open(receiver, sealed[50]!)).to.equal(undefined);
    expect(open(receiver, sealed[49]!)).to.not.equal(undefined);
    expect(open(receiver, sealed[99]!)).to.not.equal(undefined);
    expect(open(receiver, sealed[36]!)).to.not.equal(undefined);
    expect(open(receiver, sealed[35]!), 'older than the window').to.equal(undefined);
    expect(open(receiver, sealed[49]!)).to.equal(undefined);
    expect(receiver.counters.replayed).to.equal(3);
  });

  it('refuses any changed byte of what it sealed, and other keys', () => {
    const sender = new Tunnel(ENDS);
    const receiver = new Tunnel(MIRRORED);
    const sealed = seal(sender, randomFrame(new Random(72), { version: 4, payload: new Uint8Array(4) }));
    for (let at = 42; at < sealed.length; at++) {
      const forged = sealed.slice();
      forged[at]! ^= 0x10;
      expect(open(receiver, forged), `byte ${at}`).to.equal(undefined);
    }
    expect(open(new Tunnel({ ...MIRRORED, key: 'cd'.repeat(32) }), sealed)).to.equal(undefined);
    expect(open(receiver, sealed), 'forgeries moved nothing').to.not.equal(undefined);
  });

  it('never uses a nonce twice: a restarted sender has another key and session, and old sessions are refused', async () => {
    const frame = randomFrame(new Random(73));
    const receiver = new Tunnel(MIRRORED);
    const before = new Tunnel(ENDS);
    const old = [seal(before, frame), seal(before, frame)];
    expect(old[0]!.subarray(42)).to.not.deep.equal(old[1]!.subarray(42));
    expect(open(receiver, old[0]!)).to.not.equal(undefined);
    const restarted = await laterTunnel(ENDS);
    const fresh = seal(restarted, frame);
    expect(fresh.subarray(50, 58), 'the count starts again').to.deep.equal(old[0]!.subarray(50, 58));
    expect(fresh.subarray(58)).to.not.deep.equal(old[0]!.subarray(58));
    expect(open(receiver, fresh)).to.deep.equal(frame);
    expect(open(receiver, old[1]!)).to.equal(undefined);
    expect(receiver.counters.oldSession).to.equal(1);
  });

  it('drops and counts what would not fit the slot or the link', () => {
    const tunnel = new Tunnel({ ...ENDS, maxFrameBytes: 4096 });
    const largest = SLOT_BYTES - tunnel.overheadBytes;
    const slot = new Uint8Array(SLOT_BYTES);
    expect(tunnel.process(slot, largest, 0, 0)).to.equal(SLOT_BYTES);
    expect(tunnel.process(slot, largest + 1, 0, 0)).to.equal(DROP);
    const link = new Tunnel(ENDS);
    expect(link.process(slot, 1514 - link.overheadBytes, 0, 0)).to.equal(1514);
    expect(link.process(slot, 1515 - link.overheadBytes, 0, 0)).to.equal(DROP);
    expect([tunnel.counters.tooBig, link.counters.tooBig]).to.deep.equal([1, 1]);
  });

  it('takes nothing but its own packets from the outside', () => {
    const random = new Random(74);
    const receiver = new Tunnel(MIRRORED);
    for (let i = 0; i < 100; i++) expect(open(receiver, randomFrame(random))).to.equal(undefined);
    expect(
      open(receiver, seal(new Tunnel({ local: '198.51.100.7', remote: ENDS.remote }), new Uint8Array(60))),
    ).to.equal(undefined);
    expect(receiver.counters.notTunnel).to.equal(101);
  });
});

describe('replay window', () => {
  it('agrees with a set of all numbers seen', () => {
    const random = new Random(75);
    const wrong: string[] = [];
    for (const size of [32, 64, 1024]) {
      const window = new ReplayWindow(size);
      const seen = new Set<number>();
      let highest = -1;
      for (let step = 0; step < 20_000; step++) {
        const leap = random.below(200) === 0 ? random.below(5 * size) : random.below(4);
        const sequence = Math.max(
          0,
          random.below(3) === 0 ? highest - random.below(2 * size) : highest + leap,
        );
        const expected = sequence > highest || (highest - sequence < size && !seen.has(sequence));
        if (window.fresh(sequence) !== expected)
          wrong.push(`size ${size} step ${step}: ${sequence} after ${highest}`);
        if (expected) {
          window.accept(sequence);
          seen.add(sequence);
          highest = Math.max(highest, sequence);
        }
      }
    }
    expect(wrong).to.deep.equal([]);
  });
});
