/**
 * A bad forwarder from interface argv[2] to argv[3], of the packets of one burst of argv[4]: it waits until it has all of
 * them and 20 ms more, then sends them in reverse order with a new source address, without every 10th and every 7th twice.
 */

import { monotonicNs, sleepUntil } from '../../../src/linux/clock.js';
import { openPacketSocket } from '../../../src/linux/open-packet-socket.js';
import { PollSet } from '../../../src/linux/poll.js';
import { writeLine } from '../../../src/packet/nf-runtime.js';

const ring = { slots: 1024, slotBytes: 2048 };
const socketIn = openPacketSocket({ interface: process.argv[2]!, rx: ring });
// Past the queueing discipline nobody could see the packets leave.
const socketOut = openPacketSocket({
  interface: process.argv[3]!,
  tx: ring,
  qdiscBypass: process.argv[5] === 'bypass',
});
const poll = new PollSet([socketIn.fd]);
const held: Uint8Array[] = [];
writeLine(JSON.stringify({ ready: true }));
for (;;) {
  poll.wait(-1);
  while (socketIn.rx.next()) {
    const { rx } = socketIn;
    held.push(rx.views[rx.slot]!.slice(rx.offset, rx.offset + rx.length));
    rx.release();
  }
  if (held.length < Number(process.argv[4])) continue;
  sleepUntil(monotonicNs() + 20e6);
  for (let i = held.length - 1; i >= 0; i--) {
    for (let copies = i % 10 === 0 ? 0 : i % 7 === 0 ? 2 : 1; copies > 0; copies--) {
      const slot = socketOut.tx.slot();
      socketOut.tx.frames[slot]!.set(held[i]!);
      socketOut.tx.frames[slot]!.set([10, 9, 8, 7], 26);
      socketOut.tx.commit(held[i]!.length);
    }
  }
  socketOut.tx.kick();
  held.length = 0;
}
