/** Packets per second that arrive on the interfaces of a process's network namespace, from /proc/<pid>/net/dev. */

import { KeptFile } from './kept-file.js';

export class InterfaceRate {
  private readonly file: KeptFile;
  private packets = Number.NaN;
  private atNs = 0;

  constructor(pid: number) {
    this.file = new KeptFile(`/proc/${pid}/net/dev`, 'r', 8192);
  }

  /** Since the last call; 0 at the first one, and once the process is gone. Loopback is not counted. */
  read(nowNs: number): number {
    if (this.file.read() <= 0) return 0;
    let packets = 0;
    const { file } = this;
    // Two lines of headings; then `name: bytes packets ...`. A name may end in digits, so the colon is looked for.
    file.nextLine();
    while (file.nextLine()) {
      let at = file.at;
      while (file.bytes[at] === 0x20) at++;
      const loopback = file.bytes[at] === 0x6c && file.bytes[at + 1] === 0x6f && file.bytes[at + 2] === 0x3a;
      while (at < file.bytes.length && file.bytes[at] !== 0x3a && file.bytes[at] !== 10) at++;
      if (loopback || file.bytes[at] !== 0x3a) continue;
      file.at = at;
      file.nextNumber();
      packets += file.nextNumber();
    }
    const delta = Number.isNaN(this.packets) ? 0 : packets - this.packets;
    const perS = delta <= 0 ? 0 : (delta * 1e9) / Math.max(1, nowNs - this.atNs);
    this.packets = packets;
    this.atNs = nowNs;
    return perS;
  }

  close(): void {
    this.file.close();
  }
}
