/**
 * An AF_PACKET socket with TPACKET_V2 rings: every frame of one interface, received and sent without a copy through
 * the kernel's socket buffers. It opens in the network namespace of the calling *thread*. Nothing is queued
 * before the filter and the rings stand, so no unfiltered frame is ever seen.
 */

import { constants } from 'node:os';
import koffi from 'koffi';
import { NemoError } from '../model/errors.js';
import {
  bind,
  check,
  close,
  errno,
  fail,
  getsockopt,
  ifNameToIndex,
  ioctl,
  mapShared,
  recv,
  send,
  setsockopt,
  socket,
} from './libc.js';
import { RxRing, TxRing } from './packet-ring.js';

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SO_ATTACH_FILTER = 26;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
const PACKET_STATISTICS = 6;
const PACKET_COPY_THRESH = 7;
const PACKET_VERSION = 10;
const PACKET_RESERVE = 12;
const PACKET_TX_RING = 13;
const PACKET_LOSS = 14;
const PACKET_VNET_HDR = 15;
const PACKET_TX_HAS_OFF = 19;
const PACKET_QDISC_BYPASS = 20;
const PACKET_IGNORE_OUTGOING = 23;
const TPACKET_V2 = 1;
const MSG_TRUNC = 0x20;
const MSG_DONTWAIT = 0x40;
const SIOCGIFMTU = 0x8921;
const IFNAMSIZ = 16;

/** An Ethernet frame would start 66 bytes into a slot: 6 more make that a multiple of 8, for copies by words. */
const ALIGN_FRAME_BYTES = 6;
/** The same behind a virtio_net_hdr of 10 bytes: at byte 80. */
const ALIGN_OFFLOAD_FRAME_BYTES = 4;
/** The kernel allocates rings in blocks of contiguous pages; slots never cross one. */
const BLOCK_BYTES = 65_536;
/** Frames under way count against this; it must never be what limits a full TX ring. */
const SEND_BUFFER_BYTES = 16 * 1024 * 1024;
/** Frames longer than a slot wait in it: about 100 of 64 KB. */
const LONG_FRAMES_BYTES = 16 * 1024 * 1024;

export interface RingSize {
  /** Rounded up to fill the ring's last block. */
  slots: number;
  /** Header and frame: a power of two, 256 to 65536. A frame may be 80 bytes shorter than that. */
  slotBytes: number;
}

/** One classic BPF instruction: { u16 code, u8 jt, u8 jf, u32 k }. */
export type BpfInstruction = readonly [code: number, jt: number, jf: number, k: number];

export interface PacketSocketOptions {
  interface: string;
  rx?: RingSize;
  tx?: RingSize;
  /** Do not receive what this host sends on the interface. Default true. */
  ignoreOutgoing?: boolean;
  /** Send past the interface's queueing discipline. Default true. */
  qdiscBypass?: boolean;
  /**
   * Tell by a virtio_net_hdr before each received frame what its sender left to hardware, keep frames longer than a slot
   * for `readLong`, and send frames of any length. Default false: such frames come unfinished and cut off.
   */
  offloads?: boolean;
  /** Which frames to receive. */
  filter?: readonly BpfInstruction[];
}

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

/**
 * Opens a socket on an interface of this thread's network namespace. Throws NO_SUCH_INTERFACE, NOT_ROOT,
 * BAD_CONFIG for an impossible ring size, SYSCALL.
 */
export function openPacketSocket(options: PacketSocketOptions): PacketSocket {
  const name = options.interface;
  const index = ifNameToIndex(name);
  if (index === 0) {
    throw new NemoError('NO_SUCH_INTERFACE', `no network interface is called ${name}`, {
      hint: 'list the interfaces of this namespace with `ip link`',
      details: { interface: name },
    });
  }
  const rx = options.rx && wholeBlocks(options.rx);
  const tx = options.tx && wholeBlocks(options.tx);
  const fd = socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0);
  if (fd < 0 && errno() === constants.errno.EPERM) {
    throw new NemoError('NOT_ROOT', 'packet sockets need root', { hint: 'run it as root' });
  }
  check(fd, 'socket(AF_PACKET)', name);
  const offloads = options.offloads === true;
  let longFd: number | undefined;
  try {
    const set = (level: number, option: number, ...values: number[]) =>
      check(setsockopt(fd, level, option, u32(values), values.length * 4), `setsockopt(${option})`, name);
    // The rings come last: the kernel refuses to change these once one is there.
    set(SOL_PACKET, PACKET_VERSION, TPACKET_V2);
    set(SOL_PACKET, PACKET_RESERVE, offloads ? ALIGN_OFFLOAD_FRAME_BYTES : ALIGN_FRAME_BYTES);
    if (offloads) {
      set(SOL_PACKET, PACKET_VNET_HDR, 1);
      set(SOL_PACKET, PACKET_COPY_THRESH, 1);
      set(SOL_PACKET, PACKET_TX_HAS_OFF, 1);
      set(SOL_SOCKET, SO_RCVBUFFORCE, LONG_FRAMES_BYTES);
      longFd = openLongSender(name, index);
    }
    // A frame that the interface cannot take is skipped; without this it would stop the whole transmit ring.
    set(SOL_PACKET, PACKET_LOSS, 1);
    set(SOL_PACKET, PACKET_IGNORE_OUTGOING, options.ignoreOutgoing === false ? 0 : 1);
    set(SOL_PACKET, PACKET_QDISC_BYPASS, options.qdiscBypass === false ? 0 : 1);
    set(SOL_SOCKET, SO_SNDBUFFORCE, SEND_BUFFER_BYTES);
    if (options.filter !== undefined) attachFilter(fd, options.filter, name);
    if (rx !== undefined) set(SOL_PACKET, PACKET_RX_RING, ...ringRequest(rx));
    if (tx !== undefined) set(SOL_PACKET, PACKET_TX_RING, ...ringRequest(tx));
    const bytes = ringBytes(rx) + ringBytes(tx);
    if (bytes === 0) throw new NemoError('INTERNAL', `neither ring asked for on ${name}`);
    const memory = mapShared(fd, bytes, name);
    try {
      check(bind(fd, linkAddress(index, rx === undefined ? 0 : ETH_P_ALL), 20), 'bind', name);
      return new PacketSocket(fd, name, index, memory, rx, tx, longFd);
    } catch (thrown) {
      memory.unmap();
      throw thrown;
    }
  } catch (thrown) {
    close(fd);
    if (longFd !== undefined) close(longFd);
    throw thrown;
  }
}

/** It receives nothing, and sends by way of the queueing discipline, which long frames need not go past. */
function openLongSender(name: string, index: number): number {
  const fd = check(socket(AF_PACKET, SOCK_RAW_CLOEXEC, 0), 'socket(AF_PACKET)', name);
  if (bind(fd, linkAddress(index, 0), 20) === 0) return fd;
  close(fd);
  return fail('bind', name);
}

function wholeBlocks(ring: RingSize): RingSize {
  const { slots, slotBytes } = ring;
  const powerOfTwo = Number.isInteger(slotBytes) && (slotBytes & (slotBytes - 1)) === 0;
  if (!powerOfTwo || slotBytes < 256 || slotBytes > BLOCK_BYTES || !(slots >= 1)) {
    throw new NemoError('BAD_CONFIG', `a ring of ${slots} slots of ${slotBytes} bytes cannot be made`, {
      hint: 'slotBytes must be a power of two from 256 to 65536, slots at least 1',
    });
  }
  const perBlock = BLOCK_BYTES / slotBytes;
  return { slots: Math.ceil(slots / perBlock) * perBlock, slotBytes };
}

function ringBytes(ring: RingSize | undefined): number {
  return ring === undefined ? 0 : ring.slots * ring.slotBytes;
}

/** struct tpacket_req: block size, blocks, frame size, frames. */
function ringRequest(ring: RingSize): number[] {
  return [BLOCK_BYTES, ringBytes(ring) / BLOCK_BYTES, ring.slotBytes, ring.slots];
}

/** struct sockaddr_ll. A protocol of 0 receives nothing. */
function linkAddress(index: number, protocol: number): Uint8Array {
  const address = new Uint8Array(20);
  const view = new DataView(address.buffer);
  view.setUint16(0, AF_PACKET, true);
  view.setUint16(2, protocol, false);
  view.setInt32(4, index, true);
  return address;
}

function u32(values: readonly number[]): Uint8Array {
  return new Uint8Array(Uint32Array.from(values).buffer);
}

/** struct sock_fprog points to its instructions, so these need memory with an address of their own. */
function attachFilter(fd: number, filter: readonly BpfInstruction[], name: string): void {
  const length = filter.length * 8;
  const pointer = koffi.alloc('uint8_t', length);
  try {
    const code = new DataView(koffi.view(pointer, length) as ArrayBuffer);
    filter.forEach(([opcode, jt, jf, k], i) => {
      code.setUint16(i * 8, opcode, true);
      code.setUint8(i * 8 + 2, jt);
      code.setUint8(i * 8 + 3, jf);
      code.setUint32(i * 8 + 4, k >>> 0, true);
    });
    const program = new DataView(new ArrayBuffer(16));
    program.setUint16(0, filter.length, true);
    program.setBigUint64(8, koffi.address(pointer), true);
    const bytes = new Uint8Array(program.buffer);
    check(setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, bytes, 16), 'setsockopt(SO_ATTACH_FILTER)', name);
  } finally {
    koffi.free(pointer);
  }
}
