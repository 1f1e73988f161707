import { expect } from 'chai';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../src/linux/netns.js';
import { openPacketSocket } from '../../src/linux/open-packet-socket.js';
import type { PacketSocket } from '../../src/linux/packet-socket.js';
import { PollSet } from '../../src/linux/poll.js';
import { LatencyBuckets } from '../../src/model/latency-buckets.js';
import { Forwarder, type FrameProcessor } from '../../src/packet/forwarder.js';
import { PacketCounter } from '../../src/packet/shared-latency.js';

const RING = { slots: 32, slotBytes: 2048 };
const { received, forwarded, dropped, errors } = PacketCounter;

describe('forwarder', () => {
  let outer: Namespace;
  let inner: Namespace;
  let sockets: PacketSocket[] = [];
  let report: { buckets: LatencyBuckets; counters: Float64Array };

  const open = (namespace: Namespace, name: string, rx = RING) => {
    const options = { interface: name, rx, tx: RING };
    const socket = insideNamespace(namespace.path, () => openPacketSocket(options));
    sockets.push(socket);
    return socket;
  };

  beforeEach(async () => {
    [outer, inner] = await Promise.all([createNamespace(), createNamespace()]);
    await connect(outer, 'g0', inner, 'n0');
    await connect(inner, 'n1', outer, 'r0');
    report = { buckets: new LatencyBuckets(), counters: new Float64Array(4) };
  });
  afterEach(async () => {
    for (const socket of sockets) socket.close();
    sockets = [];
    await Promise.all([outer.close(), inner.close()]);
  });

  function sendFrame(socket: PacketSocket, fill: number, length: number): void {
    socket.tx.frames[socket.tx.slot()]!.fill(fill, 0, length);
    socket.tx.commit(length);
    socket.tx.kick();
  }

  function runUntil(forwarder: Forwarder, from: PacketSocket, count: number): void {
    const poll = new PollSet([from.fd]);
    for (let taken = 0; taken < count; taken += forwarder.run()) {
      if (poll.wait(5000) === 0) throw new Error(`only ${taken} of ${count} frames came`);
    }
  }

  function nextFrame(socket: PacketSocket): Uint8Array {
    if (new PollSet([socket.fd]).wait(5000) === 0) throw new Error('no frame came');
    const { rx } = socket;
    rx.next();
    const frame = rx.views[rx.slot]!.slice(rx.offset, rx.offset + rx.length);
    rx.release();
    return frame;
  }

  it('sends what the function makes of a frame, with its new length, and drops what it refuses', () => {
    const seen: Array<[number, number, number]> = [];
    const fn: FrameProcessor = {
      process(frame, length, direction) {
        seen.push([frame[0]!, length, direction]);
        if (frame[0] === 2) return -1;
        frame.fill(0xee, length, length + 8);
        return length + 8;
      },
    };
    const [near, inside, outside, far] = [
      open(outer, 'g0'),
      open(inner, 'n0'),
      open(inner, 'n1'),
      open(outer, 'r0'),
    ];
    const forwarder = new Forwarder(inside.rx, outside.tx, fn, 0, report);
    for (const fill of [1, 2, 3]) sendFrame(near, fill, 61);
    runUntil(forwarder, inside, 3);
    expect(seen).to.deep.equal([
      [1, 61, 0],
      [2, 61, 0],
      [3, 61, 0],
    ]);
    for (const fill of [1, 3]) {
      expect(nextFrame(far)).to.deep.equal(new Uint8Array(69).fill(fill, 0, 61).fill(0xee, 61));
    }
    expect(forwarder).to.include({ forwarded: 2, droppedByFunction: 1, droppedFull: 0, droppedTooLong: 0 });
    expect(report.counters[received]).to.equal(3);
    expect(report.counters[forwarded]).to.equal(2);
    expect(report.counters[dropped]).to.equal(1);
    expect(report.counters[errors]).to.equal(0);
    expect(report.buckets.total()).to.equal(2);
  });

  it('drops and counts what finds no free slot, and sends the rest when the way is free again', async () => {
    const pass: FrameProcessor = { process: (_frame, length) => length };
    const [near, inside, outside] = [open(outer, 'g0'), open(inner, 'n0'), open(inner, 'n1')];
    const forwarder = new Forwarder(inside.rx, outside.tx, pass, 0, report);
    await inner.run('ip', ['link', 'set', 'n1', 'down']);
    insideNamespace(inner.path, () => {
      for (let i = 0; i < RING.slots + 5; i++) {
        sendFrame(near, i, 60);
        runUntil(forwarder, inside, 1);
      }
      expect(forwarder).to.include({ forwarded: RING.slots, droppedFull: 5 });
      expect(forwarder.flush()).to.equal(false);
    });
    expect(report.counters[errors]).to.equal(5);
    await inner.run('ip', ['link', 'set', 'n1', 'up']);
    const far = open(outer, 'r0', { slots: 64, slotBytes: 2048 });
    expect(forwarder.flush()).to.equal(true);
    for (let i = 0; i < RING.slots; i++) expect(nextFrame(far)[0]).to.equal(i);
  });

  it('drops and counts a frame of which its receive slot holds only a part', () => {
    const pass: FrameProcessor = { process: (_frame, length) => length };
    const [near, outside] = [open(outer, 'g0'), open(inner, 'n1')];
    const inside = open(inner, 'n0', { slots: 256, slotBytes: 256 });
    const forwarder = new Forwarder(inside.rx, outside.tx, pass, 0, report);
    sendFrame(near, 1, 600);
    sendFrame(near, 2, 60);
    runUntil(forwarder, inside, 2);
    expect(forwarder).to.include({ forwarded: 1, droppedTooLong: 1 });
  });

  it('drops and counts a frame that the outgoing interface does not carry, and asks again when its MTU is raised', async () => {
    const pass: FrameProcessor = { process: (_frame, length) => length };
    const near = open(outer, 'g0');
    const offloads = (name: string) => {
      const options = { interface: name, rx: RING, tx: RING, offloads: true };
      const socket = insideNamespace(inner.path, () => openPacketSocket(options));
      sockets.push(socket);
      return socket;
    };
    const [inside, outside] = [offloads('n0'), offloads('n1')];
    await inner.run('ip', ['link', 'set', 'n1', 'mtu', '1000']);
    const forwarder = new Forwarder(inside.rx, outside.tx, pass, 0, report, {
      readLong: (into) => inside.readLong(into),
      sendLong: (frame, length) => outside.sendLong(frame, length),
      mtu: () => outside.mtu(),
    });
    for (const length of [1014, 1015]) sendFrame(near, 1, length);
    runUntil(forwarder, inside, 2);
    expect(forwarder).to.include({ forwarded: 1, droppedTooLong: 1 });
    await inner.run('ip', ['link', 'set', 'n1', 'mtu', '1600']);
    sendFrame(near, 1, 1614);
    runUntil(forwarder, inside, 1);
    expect(forwarder).to.include({ forwarded: 2, droppedTooLong: 1 });
  });
});
