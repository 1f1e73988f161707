/** What the worker of an NF's telemetry found, for readers in any thread. */

import { WorkerMemory } from '../worker-memory.js';

const FIGURES = ['packetsPerS', 'dropsPerS', 'busyRatio', 'packets', 'drops'] as const;
export type TelemetryFigure = (typeof FIGURES)[number];
const BUSY_RATIO = FIGURES.indexOf('busyRatio');

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

  /** For the control loop: NaN while it is not known. Allocates nothing. */
  busyRatio(): number {
    return this.broken ? Number.NaN : this.figure(BUSY_RATIO);
  }
}
