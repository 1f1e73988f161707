/** A tap recognises packets whatever stands around them in their frames, and those that are longer than it keeps. */

import { expect } from 'chai';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../../src/linux/netns.js';
import { openPacketSocket } from '../../../src/linux/open-packet-socket.js';
import type { PacketSocket } from '../../../src/linux/packet-socket.js';
import { PollSet } from '../../../src/linux/poll.js';
import { type Invariant, tapFilter } from '../../../src/nf/latency/tap-filter.js';
import { PacketKey } from '../../../src/nf/latency/tap-key.js';
import { buildFrame } from '../../../src/packet/build.js';
import { TAP } from '../../../src/tunables/index.js';

const TAG_Q = [0x81, 0, 0, 100];
const TAG_AD = [0x88, 0xa8, 0, 200];
const TAG_OLD = [0x91, 0, 0, 7];

/** Packets of the same payload and other headers: what a NAT between would make of them. */
const packet = (
  number: number,
  payloadBytes: number,
  source: string,
  protocol: 'udp' | 'tcp',
  version: 4 | 6,
) => {
  const payload = new Uint8Array(payloadBytes).map((_, i) => (i * 7 + number) % 251);
  const addresses =
    version === 4 ? { source, destination: '10.0.0.2' } : { source: 'fd00::1', destination: 'fd00::2' };
  return buildFrame({ protocol, ...addresses, sourcePort: 1000, destinationPort: 2000, payload });
};
const tagged = (frame: Uint8Array, ...tags: number[][]): Uint8Array =>
  Uint8Array.from([...frame.subarray(0, 12), ...tags.flat(), ...frame.subarray(12)]);

describe('a tap', () => {
  let outer: Namespace;
  let inner: Namespace;
  let sender: PacketSocket;
  const receivers: PacketSocket[] = [];

  before(async () => {
    [outer, inner] = await Promise.all([createNamespace(), createNamespace()]);
    await connect(outer, 'g0', inner, 'n0', { mtu: 9000 });
    const tx = { slots: 64, slotBytes: 16_384 };
    sender = insideNamespace(outer.path, () => openPacketSocket({ interface: 'g0', tx }));
  });
  afterEach(() => {
    for (const receiver of receivers.splice(0)) receiver.close();
  });
  after(async () => {
    sender.close();
    await Promise.all([outer.close(), inner.close()]);
  });

  /** Keys of those that the kernel's filter and the tap take, each read as a tap reads it. */
  function keysOf(frames: readonly Uint8Array[], invariant: Invariant = 'payload-tail'): string[] {
    const rx = { slots: TAP.ringSlots, slotBytes: TAP.slotBytes };
    const filter = tapFilter(invariant, false, 0);
    const receiver = insideNamespace(inner.path, () => openPacketSocket({ interface: 'n0', rx, filter }));
    receivers.push(receiver);
    for (const frame of frames) {
      sender.tx.frames[sender.tx.slot()]!.set(frame);
      sender.tx.commit(frame.length);
    }
    sender.tx.kick();
    const keys: string[] = [];
    const key = new PacketKey(invariant);
    const poll = new PollSet([receiver.fd]);
    const { rx: ring } = receiver;
    while (keys.length < frames.length && poll.wait(300) > 0) {
      for (; ring.next(); ring.release()) {
        const known = key.read(ring.views[ring.slot]!, ring.offset, ring.length);
        keys.push(known ? `${key.a} ${key.b}` : 'unknown');
      }
    }
    return keys;
  }

  for (const [what, protocol, version] of [
    ['UDP over IPv4', 'udp', 4],
    ['TCP over IPv4', 'tcp', 4],
    ['UDP over IPv6', 'udp', 6],
    ['TCP over IPv6', 'tcp', 6],
  ] as const) {
    it(`knows a packet of ${what} by any tags before it: none, 802.1Q, 802.1ad, QinQ`, () => {
      const frame = packet(1, 100, '10.0.0.1', protocol, version);
      const [plain, ...others] = keysOf([
        frame,
        tagged(frame, TAG_Q),
        tagged(frame, TAG_AD),
        tagged(frame, TAG_AD, TAG_Q),
        tagged(frame, TAG_Q, TAG_Q),
        tagged(frame, TAG_OLD, TAG_Q),
        packet(1, 100, '192.0.2.9', protocol, version),
      ]);
      expect(plain).to.not.equal('unknown');
      expect(others).to.deep.equal(Array(6).fill(plain));
    });
  }

  it('knows a tagged packet by its identification, and by its tail', () => {
    for (const invariant of ['ipv4-id', 'packet-tail'] as const) {
      const frame = packet(1, 100, '10.0.0.1', 'udp', 4);
      const [plain, qinq] = keysOf([frame, tagged(frame, TAG_AD, TAG_Q)], invariant);
      expect([plain, qinq], invariant).to.deep.equal([plain, plain]);
      expect(plain).to.not.equal('unknown');
    }
  });

  it('takes no third tag for a packet', () => {
    const frame = packet(1, 100, '10.0.0.1', 'udp', 4);
    // The kernel takes the first one out.
    expect(keysOf([tagged(frame, TAG_AD, TAG_Q, TAG_Q, TAG_Q)])).to.deep.equal([]);
  });

  it('knows a packet that is longer than its slot by its beginning and its length', () => {
    const long = TAP.slotBytes * 3;
    const frame = packet(1, long, '10.0.0.1', 'tcp', 4);
    const keys = keysOf([
      frame,
      tagged(frame, TAG_AD, TAG_Q),
      packet(1, long, '192.0.2.9', 'tcp', 4),
      packet(2, long, '10.0.0.1', 'tcp', 4),
      packet(1, long + 1, '10.0.0.1', 'tcp', 4),
    ]);
    expect(keys.slice(0, 3)).to.deep.equal(Array(3).fill(keys[0]));
    expect(new Set(keys).size).to.equal(3);
    expect(keys).to.not.include('unknown');
  });

  it('still makes nothing of a packet that was cut on its way', () => {
    const frame = packet(1, 400, '10.0.0.1', 'udp', 4);
    const key = new PacketKey('payload-tail');
    expect(key.read(frame, 0, frame.length)).to.equal(true);
    expect(key.read(frame, 0, frame.length - 1)).to.equal(false);
  });
});
