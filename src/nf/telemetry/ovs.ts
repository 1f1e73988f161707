/**
 * Open vSwitch's control socket, ovs-appctl(8): JSON-RPC over a stream. `dpif-netdev/pmd-stats-show` tells for each
 * polling thread how many packets it took and how many of its cycles had packets, so the true spare share of a core that
 * reads 100 % busy. Its main thread answers, not a thread that carries packets.
 */

import { type BlockingSocket, NOTHING } from '../../linux/blocking-socket.js';
import { monotonicNs } from '../../linux/clock.js';
import { type ProcessName, unixListeners } from '../../linux/listening.js';
import { NemoError } from '../../model/errors.js';
import { TELEMETRY } from '../../tunables/index.js';
import { connectToNf } from '../own-socket.js';
import {
  badTelemetry,
  counter,
  parseAnswer,
  type TelemetryAdapter,
  type TelemetryCounters,
} from './adapter.js';

const METHOD = 'dpif-netdev/pmd-stats-show';

export class OvsTelemetry implements TelemetryAdapter {
  private socket: BlockingSocket | undefined;
  private path = '';
  private readonly answer = Buffer.alloc(TELEMETRY.answerMaxBytes);
  private nextId = 0;

  /** As those of `DpdkTelemetry`. */
  constructor(
    private readonly pid: number,
    private readonly uid: number,
    private readonly givenPath?: string,
    private readonly name: ProcessName = pid,
  ) {}

  read(): TelemetryCounters {
    try {
      this.socket ??= this.open();
      const { id, result, error } = parseAnswer(this.ask(), this.path);
      if (id !== this.nextId || typeof result !== 'string') {
        throw badTelemetry(`${this.path}: ${METHOD} failed: ${JSON.stringify(error ?? result ?? null)}`);
      }
      return readPmdStats(result);
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  close(): void {
    this.socket?.close();
    this.socket = undefined;
  }

  private open(): BlockingSocket {
    const path = this.givenPath ?? unixListeners(this.name).find((one) => one.endsWith('.ctl'));
    if (path === undefined)
      throw new NemoError('NOT_FOUND', `process ${this.pid} has no control socket of Open vSwitch`);
    this.path = path;
    return connectToNf('stream', path, this.uid, TELEMETRY.callMaxMs);
  }

  /** An answer has no end mark: it is whole when it is JSON. */
  private ask(): string {
    const { answer, path } = this;
    const socket = this.socket!;
    const deadlineNs = monotonicNs() + TELEMETRY.answerMaxMs * 1e6;
    if (socket.recv(answer, false) !== NOTHING) throw badTelemetry(`${path} speaks without being asked`);
    socket.send(Buffer.from(JSON.stringify({ id: ++this.nextId, method: METHOD, params: [] })));
    for (let length = 0; ; ) {
      if (length === answer.length) throw badTelemetry(`${path} answers with more than ${length} bytes`);
      const count = socket.recv(answer.subarray(length));
      if (count === NOTHING) throw badTelemetry(`${path} does not answer`);
      if (count === 0) throw badTelemetry(`${path} closed the connection`);
      length += count;
      const text = answer.toString('utf8', 0, length).trimEnd();
      if (text.endsWith('}') && isJson(text)) return text;
      if (monotonicNs() > deadlineNs) throw badTelemetry(`${path} answers too slowly`);
    }
  }
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** Sums over the polling threads; the main thread's own section does not count. Throws BAD_TELEMETRY. */
export function readPmdStats(text: string): TelemetryCounters {
  const sum = { packets: 0, drops: 0, cycles: 0, busyCycles: 0 };
  const sections = text.split(/^(?=\S)/m).filter((section) => section.startsWith('pmd thread'));
  if (sections.length === 0) throw badTelemetry('Open vSwitch tells of no polling thread');
  for (const section of sections) {
    const figure = (name: string) => {
      // Spaces of one line only: a run of empty lines would be tried from each of them.
      const digits = new RegExp(`^[ \\t]+${name}: (\\d{1,20})`, 'm').exec(section)?.[1];
      return counter(digits === undefined ? undefined : Number(digits), name);
    };
    sum.packets += figure('packets received');
    // A thread that never had a packet tells of no cycles.
    if (!section.includes('cycles:')) continue;
    sum.drops += figure('miss with failed upcall');
    const busy = figure('processing cycles');
    sum.busyCycles += busy;
    sum.cycles += busy + figure('idle cycles');
  }
  return sum;
}
