/**
 * The sending thread. It sleeps between micro-batches and never spins: the gateway and the control loop live on the same
 * core. A frame carries the time at which it was really sent, so a stall of this thread shows as its own
 * lateness and never as latency of the NF; after a stall it catches up in small bursts and skips what is too old.
 */

import { type MessagePort, receiveMessageOnPort } from 'node:worker_threads';
import { monotonicNs, REALTIME_BASE_S, realtimeNs, sleepUntil } from '../../linux/clock.js';
import type { TxRing } from '../../linux/packet-ring.js';
import { bucketOf } from '../../model/latency-buckets.js';
import { TRAFFIC } from '../../tunables/index.js';
import { errorToWire, type TrafficSpec, type WireError } from './spec.js';
import { writeStamp } from './stamp.js';
import { Count, type TrafficState, Word } from './state.js';
import { prepareWorkload, type Workload } from './workload.js';

export type GeneratorCommand =
  | { op: 'run'; spec: TrafficSpec }
  | { op: 'stop' }
  /** Open the window: what is sent from now on counts. */
  | { op: 'open' }
  | { op: 'close' };

export type GeneratorReply =
  | { op: GeneratorCommand['op']; error: WireError }
  | { op: GeneratorCommand['op']; atNs: number; sent: number; notSent: number }
  | { op: 'ended' };

const MICRO_BATCH_NS = TRAFFIC.microBatchUs * 1e3;
const LATE_MAX_NS = TRAFFIC.lateMaxMs * 1e6;

export class Generator {
  private workload: Workload | undefined;
  private startNs = 0;
  private endNs = Number.POSITIVE_INFINITY;
  private sequence = 0;
  /** Of the frames that are sent now; 0 while no window is open. */
  private window = 0;
  private commandsSeen = 0;

  /** `rings[d]` sends frames of direction d. */
  constructor(
    private readonly rings: readonly [TxRing, TxRing],
    private readonly state: TrafficState,
    private readonly port: MessagePort,
  ) {}

  /** Serves commands and sends until the process ends. */
  loop(): never {
    for (;;) {
      this.serveCommands();
      const { workload } = this;
      if (workload === undefined) {
        Atomics.wait(this.state.words, Word.commands, this.commandsSeen);
        continue;
      }
      const wokenNs = monotonicNs();
      this.sendDue(workload, wokenNs);
      const nextNs = this.startNs + workload.dueNs;
      if (nextNs >= this.endNs) {
        this.workload = undefined;
        this.reply({ op: 'ended' });
      } else sleepUntil(Math.max(nextNs, wokenNs + MICRO_BATCH_NS));
    }
  }

  private sendDue(workload: Workload, wokenNs: number): void {
    const { state, startNs } = this;
    const realAheadNs = realtimeNs() - wokenNs;
    const untilNs = Math.min(wokenNs, this.endNs);
    for (
      let burst = 0;
      startNs + workload.dueNs <= untilNs && burst < workload.burstMax;
      workload.advance()
    ) {
      const dueNs = startNs + workload.dueNs;
      const sendNs = realtimeNs();
      const lateNs = sendNs - realAheadNs - dueNs;
      const bucket = bucketOf(lateNs);
      state.lateness[bucket] = state.lateness[bucket]! + 1;
      state.raise(Count.latenessMaxNs, lateNs);
      if (lateNs > LATE_MAX_NS) state.add(Count.skipped, 1);
      else {
        this.send(workload, sendNs);
        burst++;
      }
    }
    this.rings[0].kick();
    this.rings[1].kick();
  }

  private send(workload: Workload, sendNs: number): void {
    const template = workload.template;
    const ring = this.rings[template.direction];
    const slot = ring.slot();
    if (slot < 0) {
      this.state.add(Count.ringFull, 1);
      return;
    }
    const frame = ring.frames[slot]!;
    frame.set(template.frame);
    const seconds = Math.floor(sendNs / 1e9);
    writeStamp(
      frame,
      template,
      this.window,
      this.sequence,
      REALTIME_BASE_S + seconds,
      sendNs - seconds * 1e9,
    );
    ring.commit(template.frame.length);
    this.sequence = (this.sequence + 1) >>> 0;
    this.state.add(Count.sent, 1);
    // Each frame goes at once: sent together, the last would carry a stamp older than its sending.
    ring.kick();
  }

  private serveCommands(): void {
    const commands = Atomics.load(this.state.words, Word.commands);
    if (commands === this.commandsSeen) return;
    this.commandsSeen = commands;
    for (
      let next = receiveMessageOnPort(this.port);
      next !== undefined;
      next = receiveMessageOnPort(this.port)
    ) {
      const command = next.message as GeneratorCommand;
      try {
        this.serve(command);
      } catch (thrown) {
        this.reply({ op: command.op, error: errorToWire(thrown) });
        continue;
      }
      const notSent = this.state.get(Count.skipped) + this.state.get(Count.ringFull);
      this.reply({ op: command.op, atNs: monotonicNs(), sent: this.state.get(Count.sent), notSent });
    }
  }

  private serve(command: GeneratorCommand): void {
    const { words } = this.state;
    if (command.op === 'run') {
      this.workload = undefined;
      this.workload = prepareWorkload(command.spec);
      this.startNs = monotonicNs() + MICRO_BATCH_NS;
      this.endNs = this.startNs + (command.spec.seconds ?? Number.POSITIVE_INFINITY) * 1e9;
    } else if (command.op === 'stop') this.workload = undefined;
    else if (command.op === 'open') {
      this.window = (Atomics.load(words, Word.window) % 255) + 1;
      Atomics.store(words, Word.window, this.window);
    } else this.window = 0;
  }

  private reply(message: GeneratorReply): void {
    this.port.postMessage(message);
  }
}
