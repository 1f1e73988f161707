import { expect } from 'chai';
import { VirtualClock } from '../../src/model/clock.js';
import { DISPATCH } from '../../src/tunables/index.js';
import { InProcessBox } from './in-process-box.js';

const LIMIT_MS = 60_000;
const ASKED_MS = 200;

describe("a caller's deadline", () => {
  let clock: VirtualClock;
  let box: InProcessBox;
  let ends: string[];
  beforeEach(() => {
    clock = new VirtualClock(1_000);
    ends = [];
    const ended = (name: string, error?: { code: string }) => ends.push(`${name}: ${error?.code ?? 'ok'}`);
    box = new InProcessBox({
      clock,
      watch: { calls: { ended: (name, _call, _instance, error) => ended(name, error) } },
    });
    box.deploy('a', { timeoutMs: LIMIT_MS });
    box.deploy('several', { timeoutMs: LIMIT_MS, concurrency: 2 });
  });
  afterEach(() => box.close());
  const callFor = (name: string, waitMs = ASKED_MS) =>
    box.call(name, undefined, { deadlineMs: clock.nowMs() + waitMs });

  it('is told to the function, where it is before the end of its own time', async () => {
    const sandbox = await box.warm('several');
    callFor('several');
    callFor('several', 2 * LIMIT_MS);
    const told = sandbox.calls.map(({ deadlineMs }) => deadlineMs - clock.nowMs());
    expect(told).to.deep.equal([ASKED_MS, LIMIT_MS]);
  });

  it('answers the caller, and leaves the sandbox to those who share it', async () => {
    const sandbox = await box.warm('several');
    const [hasty, patient] = [callFor('several'), box.call('several')];
    clock.advance(ASKED_MS - 1);
    expect(hasty.outcomes).to.deep.equal([]);
    clock.advance(1);
    expect(hasty.outcomes).to.deep.equal(['DEADLINE_EXCEEDED']);
    expect(sandbox.calls[0]!.reply.gone, 'the function may stop').to.equal(true);
    clock.advance(2 * DISPATCH.leftGraceMs);
    expect(sandbox.ended).to.equal(false);
    sandbox.answer(1);
    expect(patient.outcomes).to.deep.equal(['answered']);
  });

  it('ends a sandbox that goes on for nobody, after a grace', async () => {
    const sandbox = await box.warm('a');
    const call = callFor('a');
    clock.advance(ASKED_MS + DISPATCH.leftGraceMs - 1);
    expect(sandbox.ended).to.equal(false);
    clock.advance(1);
    expect(sandbox.ended).to.equal(true);
    expect(call.outcomes).to.deep.equal(['DEADLINE_EXCEEDED']);
    expect(ends).to.deep.equal(['a: DEADLINE_EXCEEDED']);
  });

  it('is the end of the call, whatever the function still says; nothing of the function failed', async () => {
    const sandbox = await box.warm('a');
    const call = callFor('a');
    clock.advance(ASKED_MS);
    sandbox.answer();
    expect(call.outcomes).to.deep.equal(['DEADLINE_EXCEEDED']);
    expect(ends).to.deep.equal(['a: DEADLINE_EXCEEDED']);
    expect(box.failures).to.deep.equal([]);
    expect(box.dispatcher.functions.get('a')!.failed).to.equal(0);
    const next = box.call('a');
    sandbox.answer();
    expect(next.outcomes).to.deep.equal(['answered']);
  });

  it('takes a call out of its queue that waits, and only that one', async () => {
    const sandbox = await box.warm('a');
    const fn = box.dispatcher.functions.get('a')!;
    // One runs, one is sent ahead.
    for (let i = 0; i < 2; i++) box.call('a');
    const [patient, hasty] = [box.call('a'), callFor('a')];
    expect(fn.queued).to.equal(2);
    clock.advance(ASKED_MS);
    expect(hasty.outcomes).to.deep.equal(['DEADLINE_EXCEEDED']);
    expect(fn.queued).to.equal(1);
    for (let i = 0; i < 3; i++) sandbox.answer();
    expect(patient.outcomes).to.deep.equal(['answered']);
    expect(sandbox.calls).to.have.length(0);
  });

  it('that has passed already is a refusal', () => {
    expect(callFor('a', 0).outcomes).to.deep.equal(['DEADLINE_EXCEEDED']);
    expect(box.sandboxes).to.have.length(0);
  });

  it('leaves no timer behind of a call that was answered in time', async () => {
    const sandbox = await box.warm('a');
    const call = callFor('a');
    sandbox.answer();
    clock.advance(ASKED_MS);
    expect(call.outcomes).to.deep.equal(['answered']);
    expect(ends).to.deep.equal(['a: ok']);
  });
});
