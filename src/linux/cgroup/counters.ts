/**
 * What a group did beside using CPU time: time in the kernel, page faults, memory. For whoever looks a few times a
 * second: the kernel renders a whole page for one of these numbers (10 us), and counts kernel time at its ticks (4 ms).
 * A group of threads has no memory of its own: its faults and its memory read as 0.
 */

import { KeptFile } from '../kept-file.js';
import type { CgroupHandle } from './driver.js';

const PAGE_FAULTS = Buffer.from('\npgfault ');
const SYSTEM_TIME = Buffer.from('\nsystem_usec ');

export class CgroupCounters {
  kernelNs = 0;
  faults = 0;
  memoryBytes = 0;
  private readonly v2: boolean;
  private readonly time: KeptFile;
  private readonly memory: KeptFile | undefined;

  constructor({ version, kernelTimePath, memoryStatPath }: CgroupHandle) {
    this.v2 = version === 'v2';
    this.time = new KeptFile(kernelTimePath, 'r', 256);
    this.memory = memoryStatPath === undefined ? undefined : new KeptFile(memoryStatPath, 'r', 4_096);
  }

  /** What cannot be read keeps its last value. */
  read(): void {
    const { time, memory } = this;
    if (time.read() > 0 && (!this.v2 || time.skipBehind(SYSTEM_TIME))) {
      this.kernelNs = time.nextNumber() * (this.v2 ? 1_000 : 1);
    }
    if (memory === undefined || memory.read() <= 0) return;
    // It begins with what anonymous memory and files take (v1 says it the other way round).
    this.memoryBytes = memory.nextNumber() + memory.nextNumber();
    if (memory.skipBehind(PAGE_FAULTS)) this.faults = memory.nextNumber();
  }

  close(): void {
    this.time.close();
    this.memory?.close();
  }
}
