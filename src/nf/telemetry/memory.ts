/** What the worker of an NF's telemetry found, for readers in any thread. */

import { WorkerMemory } from '../worker-memory.js';

const FIGURES = ['packetsPerS', 'dropsPerS', 'busyRatio', 'packets', 'drops'] as const;
export type TelemetryFigure = (typeof FIGURES)[number];
const BUSY_RATIO = FIGURES.indexOf('busyRatio');
const PACKETS_PER_S = FIGURES.indexOf('packetsPerS');
const DROPS = FIGURES.indexOf('drops');

export class TelemetryMemory extends WorkerMemory<TelemetryFigure> {
  private constructor(shared: SharedArrayBuffer) {
    super(shared, FIGURES);
  }

  /** Nothing is known yet: rates are NaN. */
  static create(): TelemetryMemory {
    const memory = new TelemetryMemory(new SharedArrayBuffer(WorkerMemory.bytesFor(FIGURES.length)));
    memory.publish({
      packetsPerS: Number.NaN,
      dropsPerS: Number.NaN,
      busyRatio: Number.NaN,
      packets: 0,
      drops: 0,
    });
    return memory;
  }

  static over(shared: SharedArrayBuffer): TelemetryMemory {
    return new TelemetryMemory(shared);
  }

  /** Packets that the NF dropped for want of room or time so far; NaN while it is not known. Allocates nothing. */
  drops(): number {
    return this.broken || Number.isNaN(this.figure(PACKETS_PER_S)) ? Number.NaN : this.figure(DROPS);
  }

  /** For the control loop: NaN while it is not known. Allocates nothing. */
  busyRatio(): number {
    return this.broken ? Number.NaN : this.figure(BUSY_RATIO);
  }
}
