/**
 * Memory of TCP and UDP sockets on cgroup v1, which counts it apart from other memory, and only where it is limited before
 * the first socket is made. Not counted, one function fills what the whole box may have (`tcp_mem`), and all TCP of the
 * box stalls.
 */

import { readFileSync } from 'node:fs';
import { tryWrite } from './files.js';

/** The smallest that there is: with larger ones the limit is lower than it could be. */
const PAGE_BYTES = 4096;

/** Of what waits in sockets of the group's members. */
export function limitSockets(memory: string, bytes: number): void {
  tryWrite(`${memory}/memory.kmem.tcp.limit_in_bytes`, Math.floor(bytes));
}

/** From where on the kernel is short of it. Undefined where it does not say so: in a network namespace of its own. */
export function boxSocketBytes(): number | undefined {
  try {
    const pages = ['tcp', 'udp'].map((protocol) => {
      const text = readFileSync(`/proc/sys/net/ipv4/${protocol}_mem`, 'utf8');
      return Number(text.split(/\s+/)[0]);
    });
    return Math.min(...pages) * PAGE_BYTES;
  } catch {
    return undefined;
  }
}
