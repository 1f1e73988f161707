/**
 * Opens packet sockets: options, filter, rings and address, in the order that the kernel wants. Nothing is queued before
 * the filter and the rings stand, so no unfiltered frame is ever seen.
 */

import { constants } from 'node:os';
import { NemoError } from '../model/errors.js';
import { attachFilter, type BpfInstruction } from './bpf-filter.js';
import { bind, check, close, errno, fail, ifNameToIndex, mapShared, setsockopt, socket } from './libc.js';
import { PacketSocket } from './packet-socket.js';
import { type RingSize, ringBytes, ringRequest, wholeBlocks } from './ring-size.js';

const AF_PACKET = 17;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const ETH_P_ALL = 3;
const SOL_SOCKET = 1;
const SO_SNDBUFFORCE = 32;
const SO_RCVBUFFORCE = 33;
const SOL_PACKET = 263;
const PACKET_RX_RING = 5;
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

/** An Ethernet frame would start 66 bytes into a slot: 6 more make that a multiple of 8, for copies by words. */
const ALIGN_FRAME_BYTES = 6;
/** The same behind a virtio_net_hdr of 10 bytes: at byte 80. */
const ALIGN_OFFLOAD_FRAME_BYTES = 4;
/** Frames under way count against this; it must never be what limits a full TX ring. */
const SEND_BUFFER_BYTES = 16 * 1024 * 1024;
/** Frames longer than a slot wait in it: about 100 of 64 KB. */
const LONG_FRAMES_BYTES = 16 * 1024 * 1024;

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

/**
 * Opens a socket on an interface of the network namespace of the calling *thread*. Throws NO_SUCH_INTERFACE, NOT_ROOT,
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
