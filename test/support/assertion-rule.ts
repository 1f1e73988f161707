/**
 * A test that passed without having asserted anything fails. Mocha loads this by the `require` of every .mocharc. It also
 * has waits end a moment before the test that waits.
 *
 * What counts is an assertion that was evaluated while the test itself ran: `expect(x)` alone does not, nor what a hook
 * asserts. Waiting for something does not either, however it ends: a test says in an `expect` what it is for.
 */

import nodeAssert from 'node:assert/strict';
import * as chai from 'chai';
import type { Context } from 'mocha';
import { limitWaits } from './waiting.js';

/** Between the end of a wait and that of its test. */
const TO_SAY_SO_MS = 500;
let evaluated = 0;

chai.use(({ Assertion }) => {
  const evaluate = Assertion.prototype.assert;
  Assertion.prototype.assert = function (...args) {
    evaluated++;
    return evaluate.apply(this, args);
  };
});

// What also runs where chai is not: checks that a virtual machine repeats.
for (const name of ['ok', 'equal', 'deepEqual', 'match', 'doesNotMatch'] as const) {
  const evaluate = nodeAssert[name] as (...args: unknown[]) => void;
  Object.assign(nodeAssert, {
    [name]: (...args: unknown[]) => {
      evaluated++;
      evaluate(...args);
    },
  });
}

export const mochaHooks = {
  // Not afterEach: a root hook that throws would end the whole run.
  beforeEach(this: Context): void {
    const test = this.currentTest!;
    const run = test.fn as ((this: Context) => unknown) | undefined;
    test.fn = async function (this: Context) {
      const before = evaluated;
      const begunMs = performance.now();
      limitWaits(() => (test.timeout() || Infinity) + begunMs - performance.now() - TO_SAY_SO_MS);
      try {
        await run?.call(this);
      } finally {
        limitWaits();
      }
      if (evaluated === before) throw new Error('This test passed without having asserted anything');
    };
  },
};
