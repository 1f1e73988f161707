/**
 * Connections to a container's server, which listens in a network namespace that no packet enters or leaves: this
 * thread steps into that namespace for the moment of a connect().
 */

import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import type { Cgroup } from '../../linux/cgroup/driver.js';
import {
  close,
  connect,
  errno,
  errnoName,
  fail,
  getsockopt,
  socket as openSocket,
  poll,
} from '../../linux/libc.js';
import { insideNamespace } from '../../linux/netns.js';
import { openNetworkNamespace } from '../../network/namespace-of.js';
import { OCI } from '../../tunables/index.js';

/** Undefined if nobody listens, or nobody is left. */
export function connectInside(cgroup: Cgroup, port: number): Socket | undefined {
  const namespace = openNetworkNamespace(cgroup);
  if (namespace === undefined) return undefined;
  try {
    const fd = insideNamespace(namespace, () => connectLoopback(port));
    return fd < 0 ? undefined : new Socket({ fd, readable: true, writable: true });
  } catch {
    // Its last process has just ended.
    return undefined;
  } finally {
    closeSync(namespace);
  }
}

const AF_INET = 2;
const POLLOUT = 4;
const SOL_SOCKET = 1;
const SO_ERROR = 4;
const SOCK_STREAM_NONBLOCK_CLOEXEC = 1 | 0o4000 | 0o2000000;

/** A connected descriptor, or -1 if nobody listens. Loopback answers at once; one that does not is full. */
function connectLoopback(port: number): number {
  const fd = openSocket(AF_INET, SOCK_STREAM_NONBLOCK_CLOEXEC, 0);
  if (fd < 0) fail('socket', 'a sandbox');
  const address = Buffer.alloc(16);
  address.writeUInt16LE(AF_INET, 0);
  address.writeUInt16BE(port, 2);
  address.set([127, 0, 0, 1], 4);
  if (connect(fd, address, address.length) === 0) return fd;
  if (errnoName(errno()) === 'EINPROGRESS' && isConnected(fd)) return fd;
  close(fd);
  return -1;
}

function isConnected(fd: number): boolean {
  const request = Buffer.alloc(8);
  request.writeInt32LE(fd, 0);
  request.writeInt16LE(POLLOUT, 4);
  if (poll(request, 1, OCI.connectWaitMs) !== 1) return false;
  const error = new Uint8Array(4);
  return getsockopt(fd, SOL_SOCKET, SO_ERROR, error, [4]) === 0 && error[0] === 0;
}
