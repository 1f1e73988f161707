/**
 * What an NF tells of itself through its own interface. An adapter blocks while it asks, so it lives in a worker of its
 * own, never in the control thread; it believes nothing: times, sizes and forms are bounded, and what cannot be is
 * refused. One adapter a file.
 */

import { NemoError } from '../../model/errors.js';
import { parseObject } from '../../streams/json.js';
import { TELEMETRY } from '../../tunables/index.js';

/** Counted since the NF started, or since its owner cleared the counters. */
export interface TelemetryCounters {
  /** Packets that it took in. */
  packets: number;
  /** Packets that it had to drop for want of room or time; not those that it drops on purpose. */
  drops: number;
  /** Cycles of all its packet threads, and those of them with packets to handle. Undefined where it does not tell. */
  cycles: number | undefined;
  busyCycles: number | undefined;
}

export interface TelemetryAdapter {
  /**
   * Asks once; ends within TELEMETRY.answerMaxMs and one more TELEMETRY.callMaxMs. Throws NOT_FOUND (it has no such
   * socket), SYSCALL, BAD_TELEMETRY. After a throw, the next call begins with a new connection.
   */
  read(): TelemetryCounters;
  close(): void;
}

/** Counters of NFs have 64 bits: sums of them are numbers, whatever is said. */
const COUNT_MAX = 2 ** 64;

/** A counter out of an answer, or BAD_TELEMETRY. */
export function counter(value: unknown, name: string): number {
  if (typeof value === 'number' && value >= 0 && value <= COUNT_MAX) return value;
  throw badTelemetry(`${name} is ${JSON.stringify(value) ?? 'missing'} where a count should be`);
}

export function badTelemetry(message: string): NemoError {
  return new NemoError('BAD_TELEMETRY', message.length > 200 ? `${message.slice(0, 200)}...` : message);
}

export function parseAnswer(text: string, from: string): Record<string, unknown> {
  const answer = parseObject(text, TELEMETRY.json);
  if (answer !== undefined) return answer;
  throw badTelemetry(`${from} answered what is no JSON object: ${text.slice(0, 60)}`);
}
