/** The threads of the traffic process: each opens its own sockets, takes its priority, and never leaves its loop. */

import { parentPort, workerData } from 'node:worker_threads';
import { openPacketSocket } from '../../linux/open-packet-socket.js';
import { setScheduling } from '../../linux/sched.js';
import { TRAFFIC } from '../../tunables/index.js';
import { Generator } from './generator.js';
import { probeNoise } from './noise-probe.js';
import { Receiver } from './receiver.js';
import { errorToWire, type WireError } from './spec.js';
import { TrafficState } from './state.js';

export interface TrafficWorkerData {
  role: 'generator' | 'receiver' | 'noise';
  shared: SharedArrayBuffer;
  near: string;
  far: string;
}

/** A worker's first message, and its last one if it fails. */
export type TrafficWorkerNotice = { ready: true } | { failed: WireError };

const { role, shared, near, far } = workerData as TrafficWorkerData;
const port = parentPort!;
const ready = () => port.postMessage({ ready: true } satisfies TrafficWorkerNotice);

try {
  const state = new TrafficState(shared);
  if (role === 'generator') {
    const tx = { slots: TRAFFIC.txSlots, slotBytes: TRAFFIC.slotBytes };
    const rings = [near, far].map((name) => openPacketSocket({ interface: name, tx }).tx);
    setScheduling(0, { policy: 'fifo', priority: TRAFFIC.generatorFifoPriority, resetOnFork: true });
    ready();
    new Generator([rings[0]!, rings[1]!], state, port).loop();
  } else if (role === 'receiver') {
    const rx = { slots: TRAFFIC.rxSlots, slotBytes: TRAFFIC.slotBytes };
    const sockets = [near, far].map((name) => openPacketSocket({ interface: name, rx }));
    setScheduling(0, { policy: 'fifo', priority: TRAFFIC.receiverFifoPriority, resetOnFork: true });
    ready();
    new Receiver(sockets, state).loop();
  } else {
    setScheduling(0, { policy: 'fifo', priority: TRAFFIC.noiseFifoPriority, resetOnFork: true });
    ready();
    probeNoise(state);
  }
} catch (thrown) {
  port.postMessage({ failed: errorToWire(thrown) } satisfies TrafficWorkerNotice);
}
