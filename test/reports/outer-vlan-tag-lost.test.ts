/** A tagged frame came out of every reference NF without its outer tag: on another network. */

import { expect } from 'chai';
import { insideNamespace } from '../../src/linux/netns.js';
import { openPacketSocket } from '../../src/linux/open-packet-socket.js';
import type { PacketSocket } from '../../src/linux/packet-socket.js';
import { PollSet } from '../../src/linux/poll.js';
import { buildFrame } from '../../src/packet/build.js';
import { FUNCTION_NAMES } from '../../src/packet/functions/index.js';
import { TrafficWorld } from '../support/traffic-world.js';

const RING = { slots: 32, slotBytes: 2048 };
const PLAIN = buildFrame({
  protocol: 'udp',
  source: '10.1.0.1',
  destination: '10.1.0.2',
  payload: Buffer.from('which network am I on?'),
});

function tagged(...tags: Array<readonly [tpid: number, tci: number]>): Uint8Array {
  const bytes = Buffer.alloc(tags.length * 4);
  for (const [i, [tpid, tci]] of tags.entries()) {
    bytes.writeUInt16BE(tpid, i * 4);
    bytes.writeUInt16BE(tci, i * 4 + 2);
  }
  return Buffer.concat([PLAIN.subarray(0, 12), bytes, PLAIN.subarray(12)]);
}

const FRAMES: Record<string, Uint8Array> = {
  '802.1Q': tagged([0x8100, 100]),
  '802.1Q with priority and drop-eligible bits': tagged([0x8100, 0xf064]),
  'a priority tag, network 0': tagged([0x8100, 0x6000]),
  '802.1ad': tagged([0x88a8, 200]),
  'QinQ, 802.1ad outside': tagged([0x88a8, 200], [0x8100, 100]),
  'QinQ, 802.1Q outside': tagged([0x8100, 300], [0x8100, 100]),
};

/** The next frame of UDP, whole: with the tag that the kernel took out of it on this side, too. */
function nextFrame({ rx, fd }: PacketSocket): Uint8Array {
  const poll = new PollSet([fd]);
  for (;;) {
    while (rx.next()) {
      const frame = rx.views[rx.slot]!.slice(rx.offset, rx.offset + rx.length);
      const tag = Buffer.alloc(rx.tagged ? 4 : 0);
      if (rx.tagged) tag.writeInt32LE(rx.tagWord);
      rx.release();
      const whole = Buffer.concat([frame.subarray(0, 12), tag, frame.subarray(12)]);
      if (whole.includes('which network')) return whole;
    }
    if (poll.wait(3000) === 0) throw new Error('no frame came');
  }
}

describe('report: the outer VLAN tag is lost', () => {
  // A tunnel's outside is opened again by its other end; NAT and the router change what is inside.
  for (const nf of FUNCTION_NAMES) {
    it(`${nf}: frames leave on the network on which they came`, async () => {
      const world = await TrafficWorld.create({ nf });
      const sockets: PacketSocket[] = [];
      const open = (namespace: { path: string }) => {
        const options = { interface: 'e0', rx: RING, tx: RING };
        const socket = insideNamespace(namespace.path, () => openPacketSocket(options));
        sockets.push(socket);
        return socket;
      };
      try {
        const near = open(world.near);
        const far = open(world.far);
        for (const [what, frame] of Object.entries(FRAMES)) {
          near.tx.frames[near.tx.slot()]!.set(frame);
          near.tx.commit(frame.length);
          near.tx.kick();
          const came = nextFrame(far);
          const tags = frame.length - PLAIN.length;
          expect(came.subarray(0, 14 + tags), `${nf}: ${what}`).to.deep.equal(frame.subarray(0, 14 + tags));
          expect(came.length, `${nf}: ${what}`).to.equal(frame.length);
        }
      } finally {
        for (const socket of sockets) socket.close();
        await world.close();
      }
    });
  }
});
