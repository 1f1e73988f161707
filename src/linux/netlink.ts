/**
 * rtnetlink(7), as far as it is needed: the addresses of a network namespace, what the kernel would do with a packet to an
 * address, and routes to the loopback. All of it is about the namespace of the calling *thread*; every call answers at once.
 */

import { NemoError } from '../model/errors.js';
import { check, close, errnoName, recv, send, socket } from './libc.js';

const AF_INET = 2;
const AF_NETLINK = 16;
const SOCK_RAW_CLOEXEC = 3 | 0o2000000;
const HEADER = 16;
const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const RTM_NEWADDR = 20;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_GETROUTE = 26;
const NLM_F_REQUEST = 1;
const NLM_F_ACK = 4;
const NLM_F_DUMP = 0x300;
const NLM_F_CREATE_REPLACE = 0x500;
/** struct ifaddrmsg and struct rtmsg, before their attributes. */
const IFADDRMSG = 8;
const RTMSG = 12;
const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_VIA = 18;
const RT_TABLE_LOCAL = 255;
const RTPROT_BOOT = 3;
const RT_SCOPE_HOST = 254;
const RTN_LOCAL = 2;
const LOOPBACK_INDEX = 1;
const REPLY_BYTES = 64 * 1024;

/** linux/rtnetlink.h, RTN_*: `none` has no route. */
export type RouteKind = 'none' | 'unicast' | 'local' | 'broadcast' | 'multicast' | 'refused';

/** IPv4 addresses of every interface here, also of those that are down. Throws SYSCALL. */
export function ipv4Addresses(): string[] {
  const body = Buffer.alloc(IFADDRMSG);
  body[0] = AF_INET;
  const found: string[] = [];
  for (const { type, payload } of talk(RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, body)) {
    if (type !== RTM_NEWADDR) continue;
    const attributes = attributesOf(payload, IFADDRMSG);
    // Of a point-to-point link IFA_ADDRESS is the other side.
    const own = attributes.get(IFA_LOCAL) ?? attributes.get(IFA_ADDRESS);
    if (own?.length === 4) found.push(own.join('.'));
  }
  return found;
}

export interface Route {
  kind: RouteKind;
  /** Another router takes it on: whoever has the address is not on a link of ours. */
  gateway: boolean;
}

/** What the kernel would do here with a packet to that IPv4 address. Throws SYSCALL. */
export function routeTo(address: string): Route {
  const message = Buffer.alloc(RTMSG);
  message[0] = AF_INET;
  message[1] = 32;
  const request = Buffer.concat([message, attribute(RTA_DST, ipv4Bytes(address))]);
  let replies: Reply[];
  try {
    replies = talk(RTM_GETROUTE, NLM_F_REQUEST, request);
  } catch (thrown) {
    const errno = thrown instanceof NemoError ? thrown.details?.errno : undefined;
    if (errno === 'ENETUNREACH' || errno === 'EHOSTUNREACH') return { kind: 'none', gateway: false };
    if (errno === 'EACCES' || errno === 'EINVAL') return { kind: 'refused', gateway: false };
    throw thrown;
  }
  const route = replies.find(({ type }) => type === RTM_NEWROUTE)?.payload;
  if (route === undefined) return { kind: 'none', gateway: false };
  const attributes = attributesOf(route, RTMSG);
  const gateway = attributes.has(RTA_GATEWAY) || attributes.has(RTA_VIA);
  return { kind: KINDS[route[7]!] ?? 'refused', gateway };
}

const KINDS: Record<number, RouteKind> = {
  0: 'none',
  1: 'unicast',
  2: 'local',
  3: 'broadcast',
  5: 'multicast',
};

/** Makes a whole network (`10.0.0.0`, 8) answer at the loopback here. Throws SYSCALL. */
export function addLocalRoute(network: string, bits: number): void {
  const message = Buffer.alloc(RTMSG);
  message.set([AF_INET, bits, 0, 0, RT_TABLE_LOCAL, RTPROT_BOOT, RT_SCOPE_HOST, RTN_LOCAL]);
  const index = Buffer.alloc(4);
  index.writeUInt32LE(LOOPBACK_INDEX);
  const request = [message, attribute(RTA_DST, networkBytes(network, bits)), attribute(RTA_OIF, index)];
  talk(RTM_NEWROUTE, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE_REPLACE, Buffer.concat(request));
}

interface Reply {
  type: number;
  payload: Buffer;
}

function talk(type: number, flags: number, body: Buffer): Reply[] {
  const fd = check(socket(AF_NETLINK, SOCK_RAW_CLOEXEC, 0), 'socket', 'netlink');
  try {
    const header = Buffer.alloc(HEADER);
    header.writeUInt32LE(HEADER + body.length, 0);
    header.writeUInt16LE(type, 4);
    header.writeUInt16LE(flags, 6);
    const request = Buffer.concat([header, body]);
    check(send(fd, request, request.length, 0), 'send', 'netlink');
    const replies: Reply[] = [];
    while (!takeReplies(fd, replies, (flags & NLM_F_DUMP) === NLM_F_DUMP)) {}
    return replies;
  } finally {
    close(fd);
  }
}

/** True once the answer is complete. */
function takeReplies(fd: number, replies: Reply[], dump: boolean): boolean {
  const buffer = Buffer.alloc(REPLY_BYTES);
  const length = check(recv(fd, buffer, buffer.length, 0), 'recv', 'netlink');
  for (let at = 0; at + HEADER <= length; ) {
    const size = buffer.readUInt32LE(at);
    const type = buffer.readUInt16LE(at + 4);
    if (size < HEADER || at + size > length) return true;
    const payload = buffer.subarray(at + HEADER, at + size);
    if (type === NLMSG_DONE) return true;
    if (type === NLMSG_ERROR) return refuse(payload);
    replies.push({ type, payload });
    at += (size + 3) & ~3;
  }
  return !dump;
}

/** An error of 0 is an acknowledgement. */
function refuse(payload: Buffer): true {
  const value = -payload.readInt32LE(0);
  if (value === 0) return true;
  const errno = errnoName(value);
  throw new NemoError('SYSCALL', `the kernel refused a request about routes: ${errno}`, {
    details: { syscall: 'netlink', errno, object: 'routes' },
  });
}

function attribute(type: number, value: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + value.length);
  bytes.writeUInt16LE(bytes.length, 0);
  bytes.writeUInt16LE(type, 2);
  bytes.set(value, 4);
  return bytes;
}

function attributesOf(payload: Buffer, from: number): Map<number, Uint8Array> {
  const found = new Map<number, Uint8Array>();
  for (let at = from; at + 4 <= payload.length; ) {
    const size = payload.readUInt16LE(at);
    if (size < 4 || at + size > payload.length) break;
    found.set(payload.readUInt16LE(at + 2), payload.subarray(at + 4, at + size));
    at += (size + 3) & ~3;
  }
  return found;
}

function ipv4Bytes(address: string): Uint8Array {
  return Uint8Array.from(address.split('.').map(Number));
}

/** The kernel refuses a network with bits below its mask. */
function networkBytes(network: string, bits: number): Uint8Array {
  const bytes = ipv4Bytes(network);
  return bytes.map((byte, i) => byte & (0xff << Math.max(0, Math.min(8, 8 * (i + 1) - bits))));
}
