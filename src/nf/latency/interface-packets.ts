/** Packets that some interfaces have received and sent, together. Of the network namespace of the calling thread. */

import { readFileSync } from 'node:fs';

export class InterfacePackets {
  private readonly lines: readonly string[];

  constructor(names: readonly string[]) {
    this.lines = [...new Set(names)].map((name) => `${name}:`);
  }

  /** Reads a file of the kernel: once a second is often enough. */
  read(): number {
    let sum = 0;
    for (const line of readFileSync('/proc/thread-self/net/dev', 'latin1').split('\n')) {
      const text = line.trimStart();
      const start = this.lines.find((name) => text.startsWith(name));
      if (start === undefined) continue;
      const columns = text.slice(start.length).trim().split(/ +/);
      sum += Number(columns[1]) + Number(columns[9]);
    }
    return sum;
  }
}
