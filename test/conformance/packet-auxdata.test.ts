/**
 * What the kernel tells beside a packet, one line each, by frames over a real veth pair: the status word of a ring's slot and
 * its VLAN fields (packet(7), linux/if_packet.h), and the virtio_net_hdr before the frame (virtio 1.3, 5.1.6). What the
 * reference NFs make of it with real programs is in real-traffic.test.ts.
 */

import { expect } from 'chai';
import { realtimeNs } from '../../src/linux/clock.js';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../src/linux/netns.js';
import { openPacketSocket, type PacketSocketOptions } from '../../src/linux/open-packet-socket.js';
import type { RxRing } from '../../src/linux/packet-ring.js';
import type { PacketSocket } from '../../src/linux/packet-socket.js';
import { PollSet } from '../../src/linux/poll.js';
import {
  GSO_NONE,
  GSO_TCPV4,
  GSO_UDP_L4,
  VIRTIO_HEADER_BYTES,
  VirtioHeader,
} from '../../src/linux/virtio-header.js';
import { buildFrame } from '../../src/packet/build.js';

const RING = { slots: 32, slotBytes: 2048 };
const FRAME = buildFrame({
  protocol: 'udp',
  source: '10.7.0.1',
  destination: '10.7.0.2',
  sourcePort: 5,
  destinationPort: 7,
  payload: new Uint8Array(60).fill(9),
});
const tagged = (...tags: number[][]): Uint8Array =>
  Uint8Array.from([...FRAME.subarray(0, 12), ...tags.flat(), ...FRAME.subarray(12)]);

/** By the kernel's own sockets, whose checksums and segments veth leaves to hardware. */
const UDP = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
if sys.argv[2] != '0':
    s.setsockopt(socket.IPPROTO_UDP, 103, int(sys.argv[2])) # UDP_SEGMENT
s.sendto(bytes(int(sys.argv[1])), ('10.7.0.2', 7))
`;
const TCP_SYN = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
s.setblocking(False)
s.connect_ex(('10.7.0.2', 7))
`;

interface Seen {
  tagged: boolean;
  tagWord: number;
  copied: boolean;
  unfinished: boolean;
  length: number;
  wireLength: number;
  timestampNs: number;
  virtio: VirtioHeader;
  bytes: Uint8Array;
}

describe('conformance: what the kernel tells beside a packet', () => {
  let near: Namespace;
  let far: Namespace;
  let sender: PacketSocket;
  const receivers: PacketSocket[] = [];

  before(async () => {
    [near, far] = await Promise.all([createNamespace(), createNamespace()]);
    await connect(near, 'a0', far, 'b0', { mtu: 4000 });
    const tx = { slots: 64, slotBytes: 8192 };
    sender = insideNamespace(near.path, () => openPacketSocket({ interface: 'a0', tx }));
    const script =
      'ip address add 10.7.0.1/24 dev a0; ip neighbour add 10.7.0.2 lladdr 02:00:00:00:00:02 dev a0';
    await near.run('sh', ['-c', script]);
  });
  afterEach(() => {
    for (const receiver of receivers.splice(0)) receiver.close();
  });
  after(async () => {
    sender.close();
    await Promise.all([near.close(), far.close()]);
  });

  const listen = (options: Partial<PacketSocketOptions> = {}): PacketSocket => {
    const receiver = insideNamespace(far.path, () =>
      openPacketSocket({ interface: 'b0', rx: RING, ...options }),
    );
    receivers.push(receiver);
    return receiver;
  };
  const send = (...frames: Uint8Array[]): void => {
    for (const frame of frames) {
      sender.tx.frames[sender.tx.slot()]!.set(frame);
      sender.tx.commit(frame.length);
    }
    sender.tx.kick();
  };
  const look = (rx: RxRing): Seen => {
    const virtio = new VirtioHeader();
    virtio.read(rx.views[rx.slot]!, rx.offset - VIRTIO_HEADER_BYTES);
    const bytes = rx.views[rx.slot]!.slice(rx.offset, rx.offset + rx.length);
    const { copied, unfinished, length, wireLength } = rx;
    const seen = { copied, unfinished, length, wireLength, bytes, virtio };
    return { ...seen, tagged: rx.tagged, tagWord: rx.tagWord, timestampNs: rx.timestampNs() };
  };
  /** The next frame; the kernel's own (neighbour discovery) are passed over. */
  const next = (receiver: PacketSocket): Seen => {
    const poll = new PollSet([receiver.fd]);
    for (;;) {
      while (receiver.rx.next()) {
        const seen = look(receiver.rx);
        receiver.rx.release();
        if (seen.bytes[12] !== 0x86 || seen.tagged) return seen;
      }
      if (poll.wait(5_000) === 0) throw new Error('no frame came');
    }
  };
  /** TPID and TCI, as they stand behind the addresses. */
  const tagOf = ({ tagWord }: Seen): number[] => [...new Uint8Array(Int32Array.of(tagWord).buffer)];

  it('TP_STATUS_USER: the frame is there, whole', () => {
    const receiver = listen();
    send(FRAME);
    const seen = next(receiver);
    expect([...seen.bytes]).to.deep.equal([...FRAME]);
    expect(seen).to.include({ length: FRAME.length, wireLength: FRAME.length, copied: false });
  });

  it('TP_STATUS_VLAN_VALID is not set: no tag, though the field reads 0', () => {
    const receiver = listen();
    send(FRAME);
    expect(next(receiver).tagged).to.equal(false);
  });

  for (const [what, tag] of [
    ['TP_STATUS_VLAN_VALID: 802.1Q', [0x81, 0x00, 0x00, 0x64]],
    ['TP_STATUS_VLAN_VALID: a priority tag, VID 0 and all zeros, is a tag', [0x81, 0x00, 0x00, 0x00]],
    ['tp_vlan_tci: priority and drop eligibility beside the VID', [0x81, 0x00, 0xff, 0xfe]],
    ['TP_STATUS_VLAN_TPID_VALID: 802.1ad', [0x88, 0xa8, 0x20, 0xc8]],
  ] as const) {
    it(what, () => {
      const receiver = listen();
      send(tagged([...tag]));
      const seen = next(receiver);
      expect([seen.tagged, tagOf(seen)]).to.deep.equal([true, [...tag]]);
      expect([...seen.bytes]).to.deep.equal([...FRAME]);
    });
  }

  it('QinQ: the outer tag is beside the packet, the inner one in it', () => {
    const receiver = listen();
    const [outer, inner] = [
      [0x88, 0xa8, 0, 200],
      [0x81, 0, 0, 100],
    ] as const;
    send(tagged([...outer], [...inner]));
    const seen = next(receiver);
    expect(tagOf(seen)).to.deep.equal(outer);
    expect([...seen.bytes.subarray(12, 16)]).to.deep.equal(inner);
  });

  it('tp_snaplen below tp_len: a frame longer than its slot is cut off', () => {
    const receiver = listen();
    const long = Uint8Array.from([...FRAME.subarray(0, 14), ...new Uint8Array(3000)]);
    send(long);
    const seen = next(receiver);
    expect(seen.wireLength).to.equal(long.length);
    expect(seen.length).to.be.below(RING.slotBytes);
  });

  it('TP_STATUS_COPY: with offloads, such a frame can be read whole, behind its virtio_net_hdr', () => {
    const receiver = listen({ offloads: true });
    const long = Uint8Array.from([...FRAME.subarray(0, 14), ...new Uint8Array(3000).map((_, i) => i % 251)]);
    send(long);
    expect(next(receiver).copied).to.equal(true);
    const whole = new Uint8Array(8192);
    expect(receiver.readLong(whole)).to.equal(VIRTIO_HEADER_BYTES + long.length);
    expect(
      Buffer.compare(whole.subarray(VIRTIO_HEADER_BYTES, VIRTIO_HEADER_BYTES + long.length), long),
    ).to.equal(0);
  });

  it('TP_STATUS_LOSING: frames without a slot are counted, and those after them come', () => {
    const receiver = listen();
    for (let i = 0; i < 4; i++) send(...Array<Uint8Array>(RING.slots).fill(FRAME));
    const { received, dropped } = receiver.statistics();
    expect(dropped).to.be.at.least(2 * RING.slots);
    for (let i = 0; i < received - dropped; i++) next(receiver);
    send(tagged([0x81, 0, 0, 5]));
    expect(next(receiver).tagged).to.equal(true);
  });

  it('TP_STATUS_TS_*: the time is the kernel’s, when the frame came', () => {
    const receiver = listen();
    const before = realtimeNs();
    send(FRAME);
    expect(next(receiver).timestampNs).to.be.within(before, realtimeNs());
  });

  it('PACKET_OUTGOING: what the interface sends itself is not received, unless asked for', () => {
    const options = { interface: 'a0', rx: RING };
    const open = (more: Partial<PacketSocketOptions>) => {
      const socket = insideNamespace(near.path, () => openPacketSocket({ ...options, ...more }));
      receivers.push(socket);
      return socket;
    };
    const [deaf, hearing] = [open({}), open({ ignoreOutgoing: false })];
    // Past the queueing discipline nobody could see it leave.
    const { tx } = open({ tx: RING, qdiscBypass: false });
    tx.frames[tx.slot()]!.set(FRAME);
    tx.commit(FRAME.length);
    tx.kick();
    expect([...next(hearing).bytes]).to.deep.equal([...FRAME]);
    expect(deaf.rx.next()).to.equal(false);
  });

  it('TP_STATUS_CSUM_VALID or nothing: a frame that is finished says so', () => {
    const receiver = listen({ offloads: true });
    send(FRAME);
    const { unfinished, virtio } = next(receiver);
    expect(unfinished).to.equal(false);
    expect(virtio).to.include({ needsChecksum: false, gsoType: GSO_NONE });
  });

  it('TP_STATUS_CSUMNOTREADY, VIRTIO_NET_HDR_F_NEEDS_CSUM: UDP, its checksum at 6 of its header', async () => {
    const receiver = listen({ offloads: true });
    await near.run('python3', ['-c', UDP, '100', '0']);
    const { unfinished, virtio } = next(receiver);
    expect(unfinished).to.equal(true);
    const expected = { needsChecksum: true, gsoType: GSO_NONE, checksumStart: 34, checksumOffset: 6 };
    expect(virtio).to.include(expected);
  });

  it('TP_STATUS_CSUMNOTREADY, VIRTIO_NET_HDR_F_NEEDS_CSUM: TCP, its checksum at 16 of its header', async () => {
    const receiver = listen({ offloads: true });
    await near.run('python3', ['-c', TCP_SYN]);
    const { virtio } = next(receiver);
    expect(virtio).to.include({ needsChecksum: true, checksumStart: 34, checksumOffset: 16 });
    expect(virtio.gsoType).to.be.oneOf([GSO_NONE, GSO_TCPV4]);
  });

  it('VIRTIO_NET_HDR_GSO_UDP_L4: datagrams in one piece, and how long each is', async () => {
    const receiver = listen({ offloads: true });
    await near.run('python3', ['-c', UDP, '1200', '400']);
    const { unfinished, virtio, wireLength } = next(receiver);
    expect(unfinished).to.equal(true);
    expect(virtio).to.include({ gsoType: GSO_UDP_L4, gsoSize: 400, needsChecksum: true });
    expect(wireLength).to.equal(14 + 20 + 8 + 1200);
  });
});
