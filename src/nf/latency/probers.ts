/** One probe of each kind: sends, waits for the answer, and returns the nanoseconds between. All calls block. */

import type { ProbeSpec } from '../../model/nf-profile.js';
/** One probe of each kind: sends, waits for the answer, and returns the nanoseconds between. All calls block. */

import { randomInt } from 'node:crypto';
import { BlockingSocket, NOTHING } from '../../linux/blocking-socket.js';
import { monotonicNs } from '../../linux/clock.js';
import { tcpListeners } from '../../linux/listening.js';
import { byDescriptor } from '../../linux/process-directory.js';
import { NemoError } from '../../model/errors.js';
import { PROBE } from '../../tunables/index.js';
/** `probe` answers this when nothing came within PROBE.timeoutMs. */
export const UNANSWERED = -1;

export interface Prober {
  /** Throws SYSCALL or NOT_FOUND when nothing can be asked. The next call tries again. */
  probe(): number;
  close(): void;
}

type Options = Pick<ProbeWorkerData, 'pid' | 'directory' | 'kind' | 'host' | 'port' | 'path' | 'payload'>;

export function createProber(options: Options): Prober {
  switch (options.kind) {
    case 'http':
      return new HttpProber(options);
    case 'udp':
      return new UdpProber(options);
    case 'icmp':
      return new IcmpProber(options);
  }
}

/** HEAD over one connection that is kept: any answer counts, whatever its status. Connecting is not measured. */
class HttpProber implements Prober {
  private socket: BlockingSocket | undefined;
  private request = new Uint8Array(0);
  private readonly reply = Buffer.alloc(PROBE.replyMaxBytes);

  constructor(private readonly options: Options) {}

  probe(): number {
    const kept = this.socket !== undefined;
    const latencyNs = this.ask();
    // A server closes an idle connection whenever it likes; that says nothing about its latency.
    if (latencyNs === undefined && kept) return this.ask() ?? this.refuse('closed the connection');
    return latencyNs ?? this.refuse('closed the connection');
  }

  private ask(): number | undefined {
    this.socket ??= this.open();
    const fromNs = monotonicNs();
    let length = 0;
    let count: number;
    try {
      this.socket.send(this.request);
      do {
        count = this.socket.recv(this.reply.subarray(length));
        if (count > 0) length += count;
      } while (count > 0 && !this.isWhole(length) && monotonicNs() - fromNs < PROBE.timeoutMs * 1e6);
    } catch {
      this.close();
      return undefined;
    }
    const latencyNs = monotonicNs() - fromNs;
    if (count === NOTHING || (count > 0 && !this.isWhole(length))) {
      this.close();
      return UNANSWERED;
    }
    if (count === 0 && length === 0) {
      this.close();
      return undefined;
    }
    const head = this.reply.toString('latin1', 0, length);
    if (!head.startsWith('HTTP/1.')) this.refuse('does not speak HTTP');
    if (/^connection: *close/im.test(head)) this.close();
    return latencyNs;
  }

  /** The head of an answer, and HEAD has no more, ends with an empty line. */
  private isWhole(length: number): boolean {
    return length === this.reply.length || this.reply.subarray(0, length).includes('\r\n\r\n');
  }

  private open(): BlockingSocket {
    const { host, port, path, pid, directory } = this.options;
    const at = host === undefined ? tcpListeners(byDescriptor(directory))[0] : { host, port };
    if (at === undefined) throw new NemoError('NOT_FOUND', `process ${pid} listens on no TCP port`);
    this.request = Buffer.from(
      `HEAD ${path} HTTP/1.1\r\nHost: ${at.host}\r\nUser-Agent: nemo-probe\r\nAccept: */*\r\n\r\n`,
      'latin1',
    );
    return BlockingSocket.inet('tcp', at.host, at.port, PROBE.timeoutMs);
  }

  private refuse(why: string): never {
    this.close();
    throw new NemoError('NOT_FOUND', `the server that is probed ${why}`);
  }

  close(): void {
    this.socket?.close();
    this.socket = undefined;
  }
}

/** Any datagram from the target answers the one before it. */
class UdpProber implements Prober {
  private socket: BlockingSocket | undefined;
  private readonly payload: Buffer;
  private readonly reply = new Uint8Array(2_048);
  private sequence = 0;

  constructor(private readonly options: Options) {
    const { payload } = options;
    this.payload =
      payload === undefined ? Buffer.from('nemo-probe\0\0\0\0\0\0') : Buffer.from(payload, 'hex');
  }

  probe(): number {
    try {
      this.socket ??= BlockingSocket.inet('udp', this.options.host!, this.options.port, PROBE.timeoutMs);
      // What came too late for its own probe must not answer this one.
      while (this.socket.recv(this.reply, false) !== NOTHING);
      if (this.options.payload === undefined) this.payload.writeUInt32BE(++this.sequence >>> 0, 12);
      const fromNs = monotonicNs();
      this.socket.send(this.payload);
      return this.socket.recv(this.reply) === NOTHING ? UNANSWERED : monotonicNs() - fromNs;
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  close(): void {
    this.socket?.close();
    this.socket = undefined;
  }
}

const ECHO_REQUEST = 8;

/** Echo requests, RFC 792. A raw socket gets every echo reply from that address: id and number identify ours. */
class IcmpProber implements Prober {
  private socket: BlockingSocket | undefined;
  private readonly packet = Buffer.alloc(64);
  private readonly reply = Buffer.alloc(2_048);
  /** Two probes of one agent may ask the same address. */
  private readonly id = randomInt(0x10000);
  private sequence = 0;

  constructor(private readonly options: Options) {}

  probe(): number {
    try {
      this.socket ??= BlockingSocket.inet('icmp', this.options.host!, 0, PROBE.timeoutMs);
      this.write();
      const fromNs = monotonicNs();
      this.socket.send(this.packet);
      const untilNs = fromNs + PROBE.timeoutMs * 1e6;
      do {
        const count = this.socket.recv(this.reply);
        if (count === NOTHING) return UNANSWERED;
        if (this.isAnswer(count)) return monotonicNs() - fromNs;
      } while (monotonicNs() < untilNs);
      return UNANSWERED;
    } catch (thrown) {
      this.close();
      throw thrown;
    }
  }

  private write(): void {
    const { packet } = this;
    this.sequence = (this.sequence + 1) & 0xffff;
    packet[0] = ECHO_REQUEST;
    packet.writeUInt16BE(0, 2);
    packet.writeUInt16BE(this.id, 4);
    packet.writeUInt16BE(this.sequence, 6);
    let sum = 0;
    for (let i = 0; i < packet.length; i += 2) sum += packet.readUInt16BE(i);
    while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
    packet.writeUInt16BE(~sum & 0xffff, 2);
  }

  private isAnswer(count: number): boolean {
    const { reply } = this;
    // The IP header comes first; its low nibble is its length in words.
    const at = (reply[0]! & 15) * 4;
    if (count < at + 8 || reply[at] !== 0) return false;
    return reply.readUInt16BE(at + 4) === this.id && reply.readUInt16BE(at + 6) === this.sequence;
  }

  close(): void {
    this.socket?.close();
    this.socket = undefined;
  }
}

export interface ProbeWorkerData {
  shared: SharedArrayBuffer;
  namespacePath: string;
  pid: number;
  /** The NF's below /proc, opened. */
  directory: number;
  kind: ProbeSpec['kind'];
  host: string | undefined;
  port: number;
  path: string;
  payload?: string;
  periodMs?: number;
  board?: SharedArrayBuffer;
}
