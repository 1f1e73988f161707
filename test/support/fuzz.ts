/**
 * How many hostile messages each parser gets: 10,000 in every test run, a million by `npm run fuzz`. A failure prints
 * its seed; the run is repeated with `FUZZ_SEED=<seed>`.
 */

import { expect } from 'chai';
import fc from 'fast-check';

export const FUZZ_RUNS = Number(process.env.FUZZ_RUNS ?? 10_000);

/** Generous: a slow machine must not fail a parser that is right. */
export const FUZZ_TIMEOUT_MS = 60_000 + FUZZ_RUNS * 5;

const seed = process.env.FUZZ_SEED === undefined ? {} : { seed: Number(process.env.FUZZ_SEED) };

/** For properties without I/O. False, or anything thrown, is a failure. */
export function fuzz<T>(messages: fc.Arbitrary<T>, holds: (message: T) => boolean): void {
  let asked = 0;
  const property = fc.property(messages, (message) => {
    asked++;
    return holds(message);
  });
  fc.assert(property, { numRuns: FUZZ_RUNS, ...seed });
  expect(asked).to.equal(FUZZ_RUNS);
}

/** For properties with a real peer; `share` of the runs where each costs milliseconds. */
export async function fuzzAsync<T>(
  messages: fc.Arbitrary<T>,
  holds: (message: T) => Promise<boolean>,
  share = 1,
): Promise<void> {
  const numRuns = Math.ceil(FUZZ_RUNS * share);
  let asked = 0;
  const property = fc.asyncProperty(messages, (message) => {
    asked++;
    return holds(message);
  });
  await fc.assert(property, { numRuns, ...seed });
  expect(asked).to.equal(numRuns);
}
