/**
 * An AF_PACKET socket with TPACKET_V2 rings: every frame of one interface, received and sent without a copy through the
 * kernel's socket buffers. `openPacketSocket` makes one.
 */

import { constants } from 'node:os';
import { NemoError } from '../model/errors.js';
import { attachFilter, type BpfInstruction } from './bpf-filter.js';
import { check, close, errno, fail, getsockopt, ifNameToIndex, ioctl, recv, send } from './libc.js';
import { RxRing, TxRing } from './packet-ring.js';
import type { RingSize } from './ring-size.js';

const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SOL_PACKET = 263;
const PACKET_STATISTICS = 6;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const SIOCGIFMTU = 0x8921;
const IFNAMSIZ = 16;

export interface PacketStatistics {
  /** Frames that the socket's filter let through, since the socket was opened, and those for which no slot was free. */
  received: number;
  dropped: number;
}

export class PacketSocket {
  private open = true;
  private readonly totals: PacketStatistics = { received: 0, dropped: 0 };
  private readonly statisticsBytes = new Uint8Array(8);
  private readonly statisticsWords = new Uint32Array(this.statisticsBytes.buffer);
  private readonly rxRing: RxRing | undefined;
  private readonly txRing: TxRing | undefined;

  constructor(
    readonly fd: number,
    readonly interfaceName: string,
    readonly interfaceIndex: number,
    private readonly memory: { buffer: ArrayBuffer; unmap: () => void },
    rx: RingSize | undefined,
    tx: RingSize | undefined,
    /** A second socket without rings: one that has a transmit ring sends from that alone. Undefined without offloads. */
    private readonly longFd: number | undefined,
  ) {
    const { buffer } = memory;
    const offloads = longFd !== undefined;
    if (rx !== undefined) this.rxRing = new RxRing({ buffer, offset: 0, offloads, ...rx });
    if (tx !== undefined) {
      const offset = rx === undefined ? 0 : rx.slots * rx.slotBytes;
      this.txRing = new TxRing({ buffer, offset, offloads, ...tx }, () => this.sendQueued());
    }
  }

  /** The receive ring; asking for one that was not opened is a fault of the caller. */
  get rx(): RxRing {
    if (this.rxRing === undefined)
      throw new NemoError('INTERNAL', `no receive ring on ${this.interfaceName}`);
    return this.rxRing;
  }

  get tx(): TxRing {
    if (this.txRing === undefined)
      throw new NemoError('INTERNAL', `no transmit ring on ${this.interfaceName}`);
    return this.txRing;
  }

  /** Totals since the socket was opened; the same object each time. */
  statistics(): Readonly<PacketStatistics> {
    const result = getsockopt(this.fd, SOL_PACKET, PACKET_STATISTICS, this.statisticsBytes, [8]);
    check(result, 'getsockopt(PACKET_STATISTICS)', this.interfaceName);
    // The kernel resets its counters at each reading, and counts dropped frames as received too.
    this.totals.received += this.statisticsWords[0]!;
    this.totals.dropped += this.statisticsWords[1]!;
    return this.totals;
  }

  /**
   * To be called when poll() reports an error: throws INTERFACE_GONE if the interface was removed or moved to
   * another namespace; an interface that is only down keeps the socket, which works again when it is up.
   */
  checkInterface(): void {
    const value = new Uint8Array(4);
    check(getsockopt(this.fd, SOL_SOCKET, SO_ERROR, value, [4]), 'getsockopt(SO_ERROR)', this.interfaceName);
    if (ifNameToIndex(this.interfaceName) === this.interfaceIndex) return;
    throw new NemoError('INTERFACE_GONE', `interface ${this.interfaceName} is no longer there`, {
      hint: 'bring the interface back and start again',
      details: { interface: this.interfaceName },
    });
  }

  /** The interface's MTU now; 0 if it is not there. */
  mtu(): number {
    const request = Buffer.alloc(40);
    request.write(this.interfaceName, 0, IFNAMSIZ - 1);
    return ioctl(this.fd, SIOCGIFMTU, request) < 0 ? 0 : request.readInt32LE(IFNAMSIZ);
  }

  /**
   * The frame of a slot that says `copied`, behind its virtio_net_hdr; to be called once for each, in their order. Returns
   * the length of both, which is more than `into` holds if the frame was cut off, or 0 if it is not there.
   */
  readLong(into: Uint8Array): number {
    return Math.max(0, recv(this.fd, into, into.length, MSG_DONTWAIT | MSG_TRUNC));
  }

  /** Sends a frame that no slot holds, after those of the ring. False: it was not taken. */
  sendLong(frame: Uint8Array, length: number): boolean {
    if (this.longFd === undefined || !this.tx.kick()) return false;
    return send(this.longFd, frame, length, MSG_DONTWAIT) === length;
  }

  /** Receives only what passes `filter` from now on; what is in the ring already stays. */
  setFilter(filter: readonly BpfInstruction[]): void {
    attachFilter(this.fd, filter, this.interfaceName);
  }

  /** Unmaps the rings and closes the socket. The rings must not be touched afterwards. */
  close(): void {
    if (!this.open) return;
    this.open = false;
    this.memory.unmap();
    close(this.fd);
    if (this.longFd !== undefined) close(this.longFd);
  }

  private sendQueued(): void {
    if (send(this.fd, null, 0, MSG_DONTWAIT) >= 0) return;
    const { EAGAIN, ENOBUFS, ENETDOWN, ENXIO } = constants.errno;
    const value = errno();
    if (value === EAGAIN || value === ENOBUFS) return;
    // Down or gone: the frames stay queued. The caller's next kick tries again.
    if (value === ENETDOWN || value === ENXIO) this.checkInterface();
    else fail('send', this.interfaceName);
  }
}
