/**
 * The memory limit of an isolate process: what its threads may hold together. It is never lowered below what is
 * in use: V8 may not yet have given back what ended threads held.
 */

import type { Cgroup } from '../../linux/cgroup/driver.js';
import type { NemoError } from '../../model/errors.js';
import { ISOLATE } from '../../tunables/index.js';

export class HostMemory {
  private limitBytes = 0;

  constructor(
    private readonly group: Cgroup,
    private readonly maxBytes: () => number,
  ) {}

  /** `threadBytes`: the limits of its threads; `heldBytes`: what else was reserved. */
  fit(threadBytes: readonly number[], heldBytes: number): void {
    let bytes: number = ISOLATE.hostBytes + heldBytes;
    for (const memoryBytes of threadBytes) bytes += ISOLATE.stemBytes + memoryBytes;
    bytes = Math.min(bytes, this.maxBytes());
    try {
      // A limit below what is in use is refused on v1, and ends the process on v2. The next call tries again.
      if (bytes < this.limitBytes)
        bytes = Math.max(bytes, this.group.usage().memoryBytes + ISOLATE.stemBytes);
      this.group.setMemoryMax(bytes);
      this.limitBytes = bytes;
    } catch (thrown) {
      if ((thrown as NemoError).details?.errno !== 'EBUSY') throw thrown;
    }
    this.group.setPidsMax(ISOLATE.hostThreads + 2 * threadBytes.length);
  }
}
