/** Where a process listens, from procfs. An IPv6 wildcard counts as an IPv4 one: Linux takes both there. */

import { readlinkSync } from 'node:fs';
import { posix } from 'node:path';
import { namesIfThere, textIfThere } from './if-there.js';

const LISTEN = '0A';
const V6_WILDCARD = '0'.repeat(32);

export interface Listener {
  /** An address that leads there from within its namespace. */
  host: string;
  port: number;
}

/** Its pid, or what stands in place of it in a path below /proc. */
export type ProcessName = number | string;

/** IPv4 listeners first, by port; empty for a process that is gone or listens nowhere. */
export function tcpListeners(of: ProcessName): Listener[] {
  const inodes = socketInodes(of);
  const v4 = entries(of, 'tcp', inodes).map(({ address, port }) => ({ host: dotted(address), port }));
  const v6 = entries(of, 'tcp6', inodes)
    .filter(({ address }) => address === V6_WILDCARD)
    .map(({ port }) => ({ host: '127.0.0.1', port }));
  const byPort = (a: Listener, b: Listener) => a.port - b.port;
  return [...v4.sort(byPort), ...v6.sort(byPort)];
}

/** __SO_ACCEPTCON in the flags of /proc/net/unix. */
const ACCEPTS = 0x10000;
const LINKS_MAX = 40;

/** Paths of the UNIX sockets at which it listens, as this process can reach them: also those of a container. */
export function unixListeners(of: ProcessName): string[] {
  const inodes = socketInodes(of);
  return textIfThere(`/proc/${of}/net/unix`)
    .split('\n')
    .slice(1)
    .flatMap((line) => {
      // Num, RefCount, Protocol, Flags, Type, St, Inode, Path; abstract names begin with @
      const [, , , flags = '', , , inode = '', path = ''] = line.trim().split(/\s+/);
      const listens = (Number.parseInt(flags, 16) & ACCEPTS) !== 0;
      return listens && path.startsWith('/') && inodes.has(inode) ? [reachable(of, path)] : [];
    });
}

/**
 * A path of the process's mount namespace. Absolute links on it lead to the process's root, not to ours, so they are
 * followed by hand.
 */
function reachable(of: ProcessName, path: string): string {
  const root = `/proc/${of}/root`;
  if (linkOf(`/proc/${of}/ns/mnt`) === linkOf('/proc/self/ns/mnt') && linkOf(root) === '/') return path;
  let done = '';
  const left = path.split('/');
  for (let links = 0; left.length > 0; ) {
    const name = left.shift()!;
    const next = posix.join('/', done, name);
    const target = name === '' ? undefined : linkOf(root + next);
    if (target === undefined || ++links > LINKS_MAX) {
      done = next;
      continue;
    }
    if (target.startsWith('/')) done = '';
    left.unshift(...target.split('/'));
  }
  return root + done;
}

function linkOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

/** Inode numbers of its UDP sockets and listening TCP sockets: those with a queue that others fill. */
export function queueInodes(pid: number): number[] {
  const inodes = socketInodes(pid);
  if (inodes.size === 0) return [];
  const tables = ['udp', 'udp6', 'tcp', 'tcp6'];
  return tables.flatMap((table) =>
    textIfThere(`/proc/${pid}/net/${table}`)
      .split('\n')
      .map((line) => line.trim().split(/\s+/))
      .filter((fields) => inodes.has(fields[9] ?? '') && (table.startsWith('udp') || fields[3] === LISTEN))
      .map((fields) => Number(fields[9])),
  );
}

/** Inode numbers of all sockets that the process holds. */
export function socketInodes(of: ProcessName): Set<string> {
  const inodes = new Set<string>();
  for (const fd of namesIfThere(`/proc/${of}/fd`)) {
    const inode = /^socket:\[(\d+)\]$/.exec(linkOf(`/proc/${of}/fd/${fd}`) ?? '')?.[1];
    if (inode !== undefined) inodes.add(inode);
  }
  return inodes;
}

function entries(of: ProcessName, table: string, inodes: ReadonlySet<string>) {
  return textIfThere(`/proc/${of}/net/${table}`)
    .split('\n')
    .flatMap((line) => {
      // sl, local address:port, remote, state, queues, timer, retransmits, uid, timeout, inode
      const fields = line.trim().split(/\s+/);
      if (fields[3] !== LISTEN || !inodes.has(fields[9] ?? '')) return [];
      const [address = '', port = ''] = fields[1]!.split(':');
      return [{ address, port: Number.parseInt(port, 16) }];
    });
}

/** "0100007F" (host byte order of a little-endian machine) -> "127.0.0.1"; the wildcard -> loopback. */
function dotted(hex: string): string {
  if (hex === '00000000') return '127.0.0.1';
  const bytes = hex.match(/../g)!.map((pair) => Number.parseInt(pair, 16));
  return bytes.reverse().join('.');
}
