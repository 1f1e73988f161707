/** From two looks at an NF's counters to what it does now. Pure. */

import { TELEMETRY } from '../../tunables/index.js';
import { badTelemetry, type TelemetryCounters } from './adapter.js';

export interface TelemetryRates {
  packetsPerS: number;
  dropsPerS: number;
  /** Share of its packet threads' cycles that had packets; NaN where it does not tell. */
  busyRatio: number;
}

/** Undefined if its owner cleared the counters in between. Throws BAD_TELEMETRY for what cannot be. */
export function ratesOf(
  before: TelemetryCounters,
  now: TelemetryCounters,
  elapsedS: number,
): TelemetryRates | undefined {
  const packets = now.packets - before.packets;
  const drops = now.drops - before.drops;
  if (packets < 0 || drops < 0 || elapsedS <= 0) return undefined;
  const packetsPerS = packets / elapsedS;
  if (packetsPerS > TELEMETRY.packetsPerSMax)
    throw badTelemetry(`it counts ${packetsPerS.toExponential(1)} packets/s, which cannot be`);
  const rates = { packetsPerS, dropsPerS: drops / elapsedS, busyRatio: Number.NaN };
  if (now.cycles === undefined || before.cycles === undefined) return rates;
  const cycles = now.cycles - before.cycles;
  const busy = now.busyCycles! - before.busyCycles!;
  if (cycles < 0 || busy < 0) return undefined;
  if (busy > cycles) throw badTelemetry(`it counts ${busy} busy cycles of ${cycles}, which cannot be`);
  return { ...rates, busyRatio: cycles === 0 ? Number.NaN : busy / cycles };
}
