import { expect } from 'chai';
import { monotonicNs, realtimeNs, sleepUntil } from '../../src/linux/clock.js';
import { connect, createNamespace, insideNamespace, type Namespace } from '../../src/linux/netns.js';
import { openPacketSocket, type PacketSocketOptions } from '../../src/linux/open-packet-socket.js';
import type { PacketSocket } from '../../src/linux/packet-socket.js';
import { POLLERR, POLLIN, PollSet } from '../../src/linux/poll.js';

const RING = { slots: 32, slotBytes: 2048 };

describe('packet socket', () => {
  let here: Namespace;
  let there: Namespace;
  const sockets: PacketSocket[] = [];
  const open = (namespace: Namespace, options: PacketSocketOptions) => {
    const socket = insideNamespace(namespace.path, () => openPacketSocket(options));
    sockets.push(socket);
    return socket;
  };

  beforeEach(async () => {
    [here, there] = await Promise.all([createNamespace(), createNamespace()]);
    await connect(here, 'a0', there, 'b0');
  });
  afterEach(async () => {
    for (const socket of sockets.splice(0)) socket.close();
    await Promise.all([here.close(), there.close()]);
  });

  /** Sends one frame of `length` bytes that all have the value `fill`. */
  function sendFrame(socket: PacketSocket, fill: number, length: number): void {
    socket.tx.frames[socket.tx.slot()]!.fill(fill, 0, length);
    socket.tx.commit(length);
    socket.tx.kick();
  }

  /** At least `count` frames, and whatever else has come by then. */
  function received(socket: PacketSocket, count: number): Uint8Array[] {
    const frames: Uint8Array[] = [];
    const poll = new PollSet([socket.fd]);
    const { rx } = socket;
    do {
      while (rx.next()) {
        frames.push(rx.views[rx.slot]!.slice(rx.offset, rx.offset + rx.length));
        rx.release();
      }
    } while (frames.length < count && poll.wait(5000) > 0);
    return frames;
  }

  it('carries frames through both rings unchanged and stamped with the time of their arrival', () => {
    const sender = open(here, { interface: 'a0', tx: RING });
    const receiver = open(there, { interface: 'b0', rx: RING });
    const poll = new PollSet([receiver.fd]);
    const before = realtimeNs();
    sendFrame(sender, 0xab, 61);
    expect(poll.wait(5000)).to.equal(1);
    expect(poll.reported(0) & POLLIN).to.equal(POLLIN);
    const { rx } = receiver;
    expect(rx.next()).to.equal(true);
    expect(rx.timestampNs()).to.be.within(before, realtimeNs());
    expect(rx.wireLength).to.equal(61);
    expect(rx.offset % 8).to.equal(0);
    const word = new Uint8Array(rx.words.buffer, rx.frameWord() * 4, 4);
    expect([...word]).to.deep.equal([0xab, 0xab, 0xab, 0xab]);
    expect(received(receiver, 1)).to.deep.equal([new Uint8Array(61).fill(0xab)]);
    expect(rx.next()).to.equal(false);
  });

  it('goes round its rings many times without losing or reordering a frame', () => {
    const sender = open(here, { interface: 'a0', tx: RING });
    const receiver = open(there, { interface: 'b0', rx: RING });
    const values: number[] = [];
    for (let i = 0; i < RING.slots * 10; i++) {
      sendFrame(sender, i & 0xff, 60);
      for (const frame of received(receiver, 1)) values.push(frame[59]!);
    }
    expect(values).to.deep.equal(Array.from({ length: RING.slots * 10 }, (_, i) => i & 0xff));
    expect(sender.tx.committed).to.equal(RING.slots * 10);
  });

  it('uses a receive and a transmit ring of one socket and does not see its own frames', () => {
    const one = open(here, { interface: 'a0', rx: RING, tx: RING });
    const other = open(there, { interface: 'b0', rx: RING, tx: RING });
    sendFrame(one, 1, 60);
    sendFrame(other, 2, 60);
    expect(received(other, 1).map((frame) => frame[0])).to.deep.equal([1]);
    expect(received(one, 1).map((frame) => frame[0])).to.deep.equal([2]);
  });

  it('counts what it dropped while its ring was full', () => {
    const sender = open(here, { interface: 'a0', tx: RING });
    const receiver = open(there, { interface: 'b0', rx: RING });
    for (let i = 0; i < RING.slots + 7; i++) sendFrame(sender, 0, 60);
    expect(received(receiver, RING.slots)).to.have.length(RING.slots);
    sendFrame(sender, 1, 60);
    expect(received(receiver, 1)).to.have.length(1);
    expect(receiver.statistics()).to.deep.equal({ received: RING.slots + 8, dropped: 7 });
    expect(receiver.statistics().dropped, 'a second reading').to.equal(7);
  });

  it('receives only what its filter lets through', () => {
    const sender = open(here, { interface: 'a0', tx: RING });
    const filter = [
      [0x30, 0, 0, 20], // ldb [20]
      [0x15, 0, 1, 7], // jeq #7
      [0x06, 0, 0, 0xffffffff], // ret all
      [0x06, 0, 0, 0], // ret nothing
    ] as const;
    const receiver = open(there, { interface: 'b0', rx: RING, filter });
    for (const fill of [6, 7, 8, 7]) sendFrame(sender, fill, 60);
    expect(received(receiver, 2).map((frame) => frame[0])).to.deep.equal([7, 7]);
  });

  it('skips a frame that the interface cannot carry and goes on', () => {
    const sender = open(here, { interface: 'a0', tx: { slots: 16, slotBytes: 4096 } });
    const receiver = open(there, { interface: 'b0', rx: RING });
    sendFrame(sender, 1, 4000);
    sendFrame(sender, 2, 3);
    sendFrame(sender, 3, 60);
    expect(received(receiver, 1).map((frame) => frame[0])).to.deep.equal([3]);
  });

  it('keeps the length of a frame that its slots are too small for', () => {
    const sender = open(here, { interface: 'a0', tx: RING });
    const receiver = open(there, { interface: 'b0', rx: { slots: 256, slotBytes: 256 } });
    sendFrame(sender, 1, 1000);
    expect(new PollSet([receiver.fd]).wait(5000)).to.equal(1);
    expect(receiver.rx.next()).to.equal(true);
    expect(receiver.rx.wireLength).to.equal(1000);
    expect(receiver.rx.length).to.be.within(170, 256 - 72);
  });

  it('names an interface that is not there, and a ring that cannot be', () => {
    expect(() => open(here, { interface: 'nope0', rx: RING }))
      .to.throw('nope0')
      .with.property('code', 'NO_SUCH_INTERFACE');
    expect(() => open(here, { interface: 'a0', rx: { slots: 8, slotBytes: 1000 } }))
      .to.throw()
      .with.property('code', 'BAD_CONFIG');
  });

  it('tells an interface that was removed from one that is only down', async () => {
    const receiver = open(there, { interface: 'b0', rx: RING });
    const poll = new PollSet([receiver.fd]);
    const check = () => insideNamespace(there.path, () => receiver.checkInterface());
    await there.run('ip', ['link', 'set', 'b0', 'down']);
    expect(poll.wait(5000)).to.equal(1);
    expect(poll.reported(0) & POLLERR).to.equal(POLLERR);
    check();
    await there.run('ip', ['link', 'set', 'b0', 'up']);
    sendFrame(open(here, { interface: 'a0', tx: RING }), 9, 60);
    expect(received(receiver, 1)).to.have.length(1);
    await there.run('ip', ['link', 'del', 'b0']);
    expect(poll.wait(5000)).to.equal(1);
    expect(check).to.throw('b0').with.property('code', 'INTERFACE_GONE');
  });

  it('can be closed twice, and frees its interface', async () => {
    const socket = open(here, { interface: 'a0', rx: RING, tx: RING });
    socket.close();
    socket.close();
    await here.run('ip', ['link', 'del', 'a0']);
    expect(await here.run('ip', ['-o', 'link'])).to.not.contain('a0');
  });
});

describe('clock', () => {
  it('sleeps until a moment, and not at all for one in the past', () => {
    const start = monotonicNs();
    sleepUntil(start + 3e6);
    expect(monotonicNs()).to.be.at.least(start + 3e6);
    sleepUntil(start);
    sleepUntil(0);
  });

  it('tells the wall-clock time', () => {
    const before = Date.now();
    const now = realtimeNs();
    const again = realtimeNs();
    expect(again).to.be.at.least(now);
    expect(Math.abs(now / 1e6 - (before - Math.floor(before / 1000) * 1000))).to.be.below(24 * 3600 * 1000);
  });
});
