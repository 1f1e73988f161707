/**
 * Counters and queues of the kernel's packet path that a 1 kHz loop can afford now and then: files stay open, reading
 * allocates nothing. A file that is longer than its buffer is read as far as that goes.
 */

import { KeptFile } from './kept-file.js';

const COLON = 58;
const LINE_MAX_BYTES = 140;
const INTERFACES_MAX_BYTES = 8_192;
/** About 60 sockets: tables begin with listeners, and an NF has few of its own. */
const SOCKETS_MAX_BYTES = 8_192;
const LISTEN = 0x0a;
/** What follows the inode in a line of ours: for UDP the drops. */
const LINE_REST_BYTES = 60;
/** While one of its sockets is missing (closed, or pushed back), the whole tables are read once in so many reads. */
const READS_TO_WHOLE = 100;

/** One core's line of /proc/net/softnet_stat: packets between its interrupt and the protocols. */
export class SoftnetStat {
  /** Packets dropped as the backlog was full; times that the core had to stop with packets left. */
  dropped = 0;
  squeezed = 0;
  /** Packets that wait now. */
  backlog = 0;
  private readonly file: KeptFile;

  constructor(private readonly cpu: number) {
    this.file = new KeptFile('/proc/net/softnet_stat', 'r', (cpu + 1) * LINE_MAX_BYTES);
  }

  read(): boolean {
    const { file } = this;
    if (file.read() <= 0) return false;
    do {
      file.nextHex();
      const dropped = file.nextHex();
      const squeezed = file.nextHex();
      for (let column = 3; column < 11; column++) file.nextHex();
      const backlog = file.nextHex();
      // Lines are of online cores only, so the place of a line says nothing; kernels before 5.10 have no number.
      const cpu = file.nextHex();
      if (cpu !== this.cpu) continue;
      this.dropped = dropped;
      this.squeezed = squeezed;
      this.backlog = backlog;
      return true;
    } while (file.nextLine());
    return false;
  }

  close(): void {
    this.file.close();
  }
}

/** Packets that the interfaces of a process's network namespace dropped, from /proc/<pid>/net/dev; `lo` does not count. */
export class InterfaceDrops {
  dropped = 0;
  private readonly file: KeptFile;

  constructor(pid: number) {
    this.file = new KeptFile(`/proc/${pid}/net/dev`, 'r', INTERFACES_MAX_BYTES);
  }

  read(): boolean {
    const { file } = this;
    if (file.read() <= 0 || !file.nextLine()) return false;
    let sum = 0;
    while (file.nextLine()) {
      const from = file.at;
      if (!file.skipTo(COLON)) break;
      if (isLoopback(file.bytes, from, file.at)) continue;
      // Received: bytes, packets, errs, drop, fifo, frame, compressed, multicast; sent: bytes, packets, errs, drop.
      for (let column = 0; column < 3; column++) file.nextNumber();
      const received = file.nextNumber() + file.nextNumber();
      for (let column = 5; column < 11; column++) file.nextNumber();
      const sent = file.nextNumber();
      if (Number.isNaN(sent)) break;
      sum += received + sent;
    }
    this.dropped = sum;
    return true;
  }

  close(): void {
    this.file.close();
  }
}

/** "    lo:" */
function isLoopback(bytes: Uint8Array, from: number, end: number): boolean {
  if (bytes[end - 2] !== 0x6f || bytes[end - 3] !== 0x6c) return false;
  return end - 3 === from || bytes[end - 4] === 0x20;
}

/** One of the tables, and how much of it is read: as far as the process's own sockets go. */
interface SocketTable {
  file: KeptFile;
  udp: boolean;
  /** 0: none of its sockets exists. */
  bytes: number;
}

/**
 * Queues of the UDP sockets and listening TCP sockets of a process, from /proc/<pid>/net/{udp,tcp}{,6}. Behind the
 * listeners, the kernel walks through its whole table of connections to find one more line: milliseconds, also when
 * there are none. So only what holds the process's own sockets is read, and the whole again once one is missing.
 */
export class SocketQueues {
  /** Datagrams dropped as a receive queue was full. */
  dropped = 0;
  /** The longest queue now: of datagrams in bytes, of connections that nobody has accepted yet in their number. */
  udpBytes = 0;
  connections = 0;
  private readonly tables: SocketTable[];
  private found = 0;
  private foundAtFirst = -1;
  private readsToWhole = 0;

  constructor(
    pid: number,
    private readonly inodes: ReadonlySet<number>,
  ) {
    this.tables = ['udp', 'udp6', 'tcp', 'tcp6'].map((table) => ({
      file: new KeptFile(`/proc/${pid}/net/${table}`, 'r', SOCKETS_MAX_BYTES),
      udp: table.startsWith('udp'),
      bytes: SOCKETS_MAX_BYTES,
    }));
  }

  read(): boolean {
    // Others' listeners may have pushed one of ours back.
    const whole = this.found < this.foundAtFirst && --this.readsToWhole < 0;
    if (whole) this.readsToWhole = READS_TO_WHOLE;
    let dropped = 0;
    this.found = 0;
    this.udpBytes = 0;
    this.connections = 0;
    for (let i = 0; i < this.tables.length; i++) {
      const table = this.tables[i]!;
      const { file, udp } = table;
      const most = whole ? SOCKETS_MAX_BYTES : table.bytes;
      if (most === 0 || file.read(most) <= 0) continue;
      let mine = 0;
      while (file.nextLine()) {
        file.skipTo(COLON);
        // Local and remote address and port, state, queues.
        for (let column = 0; column < 4; column++) file.nextHex();
        const state = file.nextHex();
        if (!udp && state !== LISTEN) break;
        file.nextHex();
        const waiting = file.nextHex();
        // Timer, its time, retransmits; then decimal: user, timeout, inode.
        for (let column = 0; column < 3; column++) file.nextHex();
        file.nextNumber();
        file.nextNumber();
        const inode = file.nextNumber();
        if (Number.isNaN(inode)) break;
        if (!this.inodes.has(inode)) continue;
        this.found++;
        mine = file.at + LINE_REST_BYTES;
        if (!udp) {
          this.connections = Math.max(this.connections, waiting);
          continue;
        }
        this.udpBytes = Math.max(this.udpBytes, waiting);
        file.nextNumber();
        file.nextHex();
        const drops = file.nextNumber();
        if (!Number.isNaN(drops)) dropped += drops;
      }
      if (most === SOCKETS_MAX_BYTES) table.bytes = mine;
    }
    if (this.foundAtFirst < 0) this.foundAtFirst = this.found;
    this.dropped = dropped;
    return true;
  }

  close(): void {
    for (const { file } of this.tables) file.close();
  }
}
