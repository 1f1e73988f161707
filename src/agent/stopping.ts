/**
 * Ending the parts of the agent, last first. None of them keeps the others from their end, by an error or by an end that
 * never comes: what puts NFs back as they were is among the last.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { NemoError } from '../model/errors.js';
import { AGENT } from '../tunables/index.js';

/** What is to be done at the end, last first. */
export type Closers = Array<() => Promise<void> | void>;

/** Rejects with the first failure, when all have ended or had their time. */
export async function endAll(closers: Closers, eachMaxMs: number = AGENT.partEndMaxMs): Promise<void> {
  const failures: unknown[] = [];
  for (let close = closers.pop(); close !== undefined; close = closers.pop()) {
    await inTime(async () => close(), eachMaxMs).catch((thrown: unknown) => failures.push(thrown));
  }
  if (failures.length > 0) throw failures[0];
}

/** Rejects with INTERNAL if it takes longer than any part of an agent should. */
export async function inTime(end: () => Promise<unknown>, maxMs: number = AGENT.partEndMaxMs): Promise<void> {
  const ended = new AbortController();
  const late = delay(maxMs, undefined, { signal: ended.signal }).then(() => {
    throw new NemoError('INTERNAL', `a part of the agent did not end within ${maxMs / 1000} s`, {
      hint: 'all others were ended; what NFs had is put back by the agent, or else by its guardian',
    });
  });
  try {
    await Promise.race([end(), late]);
  } finally {
    ended.abort();
  }
}
