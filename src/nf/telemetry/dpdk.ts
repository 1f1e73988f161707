/**
 * DPDK's telemetry socket, https://doc.dpdk.org/guides/howto/telemetry.html: one message a command, one an answer, over
 * SOCK_SEQPACKET. Packets and drops come from every DPDK program; busy cycles only from those of DPDK 23.03 and later
 * that count them (`/eal/lcore/usage`).
 */

import { readFileSync } from 'node:fs';
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

export class DpdkTelemetry implements TelemetryAdapter {
  private socket: BlockingSocket | undefined;
  private path = '';
  private readonly answer = Buffer.alloc(TELEMETRY.answerMaxBytes);
  private deadlineNs = 0;

  /**
   * `uid`: the NF's user; `path`: instead of the socket at which the process listens; `name`: what leads to that process
   * and no other, should it end and another get its pid.
   */
  constructor(
    private readonly pid: number,
    private readonly uid: number,
    private readonly givenPath?: string,
    private readonly name: ProcessName = pid,
  ) {}

  read(): TelemetryCounters {
    this.deadlineNs = monotonicNs() + TELEMETRY.answerMaxMs * 1e6;
    try {
      this.socket ??= this.open();
      const sum: TelemetryCounters = { packets: 0, drops: 0, ...this.usage() };
      for (const port of this.ports()) {
        const stats = this.ask('/ethdev/stats', port);
        // A port may be closed since it was listed.
        if (stats === null) continue;
        const { ipackets, imissed, rx_nombuf: noBuffer, oerrors } = stats as Record<string, unknown>;
        sum.packets += counter(ipackets, 'ipackets');
        sum.drops +=
          counter(imissed, 'imissed') + counter(noBuffer, 'rx_nombuf') + counter(oerrors, 'oerrors');
      }
      return sum;
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
    const path = this.givenPath ?? unixListeners(this.name).find((one) => one.endsWith('/dpdk_telemetry.v2'));
    if (path === undefined) {
      throw new NemoError('NOT_FOUND', `process ${this.pid} has no DPDK telemetry socket`, {
        hint: 'DPDK makes it unless it was started with --no-telemetry',
      });
    }
    this.path = path;
    const socket = connectToNf('seqpacket', path, this.uid, TELEMETRY.callMaxMs);
    try {
      const { pid } = parseAnswer(this.receive(socket), path);
      // Somebody else's socket at this path would count somebody else's packets.
      if (!namesOf(this.name).includes(Number(pid)))
        throw badTelemetry(`${path} belongs to process ${String(pid)}`);
      return socket;
    } catch (thrown) {
      socket.close();
      throw thrown;
    }
  }

  private ports(): number[] {
    const list = this.ask('/ethdev/list');
    if (!Array.isArray(list) || list.length > TELEMETRY.portsMax) {
      throw badTelemetry(`${this.path}: /ethdev/list is not a list of up to ${TELEMETRY.portsMax} ports`);
    }
    return list.map((port) => counter(port, 'a port'));
  }

  private usage(): Pick<TelemetryCounters, 'cycles' | 'busyCycles'> {
    const usage = this.ask('/eal/lcore/usage') as { total_cycles?: unknown; busy_cycles?: unknown } | null;
    const sum = (list: unknown, name: string) =>
      Array.isArray(list) ? list.reduce((total: number, one) => total + counter(one, name), 0) : undefined;
    const cycles = sum(usage?.total_cycles, 'total_cycles');
    const busyCycles = sum(usage?.busy_cycles, 'busy_cycles');
    // An empty list: the program counts no cycles.
    return cycles === undefined || cycles === 0 || busyCycles === undefined
      ? { cycles: undefined, busyCycles: undefined }
      : { cycles, busyCycles };
  }

  /** The value beside the command's name; null where the program does not know it. */
  private ask(command: string, parameter?: number): unknown {
    const socket = this.socket!;
    if (socket.recv(this.answer, false) !== NOTHING)
      throw badTelemetry(`${this.path} speaks without being asked`);
    socket.send(Buffer.from(parameter === undefined ? command : `${command},${parameter}`));
    const reply = parseAnswer(this.receive(socket), this.path);
    const value = reply[command];
    if (value === undefined || (value !== null && typeof value !== 'object')) {
      throw badTelemetry(`${this.path} answered ${command} with ${JSON.stringify(reply).slice(0, 60)}`);
    }
    return value;
  }

  private receive(socket: BlockingSocket): string {
    if (monotonicNs() > this.deadlineNs) throw badTelemetry(`${this.path} answers too slowly`);
    const length = socket.recv(this.answer);
    if (length === NOTHING) throw badTelemetry(`${this.path} does not answer`);
    if (length === 0) throw badTelemetry(`${this.path} closed the connection`);
    if (length > this.answer.length) throw badTelemetry(`${this.path} answers with ${length} bytes`);
    return this.answer.toString('utf8', 0, length);
  }
}

/** The numbers by which a process is known, from here and in its own namespaces. */
function namesOf(name: ProcessName): number[] {
  try {
    const status = readFileSync(`/proc/${name}/status`, 'latin1');
    return (/^NSpid:(.*)$/m.exec(status)?.[1] ?? '').trim().split(/\s+/).map(Number);
  } catch {
    return [];
  }
}
