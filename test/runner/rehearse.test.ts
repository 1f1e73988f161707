import { expect } from 'chai';
import { CallQueue } from '../../src/runner/calls.js';
import { FrameWriter } from '../../src/runner/frames.js';
import { rehearseCalls, rehearseResponses } from '../../src/runner/rehearse.js';
import { until } from '../support/waiting.js';

describe('rehearsal in a sandbox that waits', () => {
  it('runs whole calls through the runner, answers nobody and leaves nothing unhandled', async () => {
    const answers: number[] = [];
    const errors: unknown[] = [];
    const note = (error: unknown): unknown => errors.push(error);
    const { flush } = FrameWriter.prototype;
    const { push } = CallQueue.prototype;
    let calls = 0;
    FrameWriter.prototype.flush = function (this: FrameWriter) {
      answers.push(1);
      return flush.call(this);
    };
    CallQueue.prototype.push = function (this: CallQueue, ...call) {
      calls++;
      push.apply(this, call);
    };
    process.on('unhandledRejection', note);
    try {
      rehearseCalls();
      expect(calls).to.be.at.least(8);
      const before = answers.length;
      expect(before).to.be.greaterThan(calls);
      rehearseResponses();
      await until(() => answers.length > before);
      expect(errors).to.deep.equal([]);
    } finally {
      FrameWriter.prototype.flush = flush;
      CallQueue.prototype.push = push;
      process.off('unhandledRejection', note);
    }
  });
});
