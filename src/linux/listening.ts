/** Where a process listens for TCP, from procfs. An IPv6 wildcard counts as an IPv4 one: Linux takes both there. */

import { readdirSync, readFileSync, readlinkSync } from 'node:fs';

const LISTEN = '0A';
const V6_WILDCARD = '0'.repeat(32);

export interface Listener {
  /** An address that leads there from within its namespace. */
  host: string;
  port: number;
}

/** IPv4 listeners first, by port; empty for a process that is gone or listens nowhere. */
export function tcpListeners(pid: number): Listener[] {
  const inodes = socketInodes(pid);
  const v4 = entries(pid, 'tcp', inodes).map(({ address, port }) => ({ host: dotted(address), port }));
  const v6 = entries(pid, 'tcp6', inodes)
    .filter(({ address }) => address === V6_WILDCARD)
    .map(({ port }) => ({ host: '127.0.0.1', port }));
  const byPort = (a: Listener, b: Listener) => a.port - b.port;
  return [...v4.sort(byPort), ...v6.sort(byPort)];
}

/** Inode numbers of all sockets that the process holds. */
export function socketInodes(pid: number): Set<string> {
  const inodes = new Set<string>();
  for (const fd of names(`/proc/${pid}/fd`)) {
    try {
      const inode = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${fd}`))?.[1];
      if (inode !== undefined) inodes.add(inode);
    } catch {
      // closed meanwhile
    }
  }
  return inodes;
}

function entries(pid: number, table: string, inodes: ReadonlySet<string>) {
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/net/${table}`, 'latin1');
  } catch {
    return [];
  }
  return text.split('\n').flatMap((line) => {
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

function names(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
