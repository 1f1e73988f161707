import { expect } from 'chai';
import { VirtualClock } from '../../src/model/clock.js';
import { NemoError } from '../../src/model/errors.js';
import { DISPATCH, GATEWAY } from '../../src/tunables/index.js';
import { type BoxOptions, InProcessBox, settled } from './in-process-box.js';

describe('the dispatcher, when something fails or changes', () => {
  let box: InProcessBox;
  const open = (options: BoxOptions = {}): InProcessBox => {
    box = new InProcessBox(options);
    return box;
  };
  afterEach(() => box.close());

  it('fails a standby call whose sandbox dies: it may have begun in a pause of the running one', async () => {
    open().deploy('a');
    box.deploy('b');
    await box.warm('a');
    const b = await box.warm('b');
    box.call('a');
    const standby = box.call('b');
    expect(b.calls).to.have.length(1);
    b.die();
    expect(standby.outcomes).to.deep.equal(['FUNCTION_EXIT']);
  });

  it('queues a call that was sent ahead again when its sandbox dies, and fails the one that ran', async () => {
    open().deploy('a');
    const first = await box.warm('a');
    const [ran, ahead, waits] = [box.call('a'), box.call('a'), box.call('a')];
    expect(first.calls).to.have.length(2);
    first.die();
    expect(ran.outcomes).to.deep.equal(['FUNCTION_EXIT']);
    await settled();
    const second = box.live[0]!;
    second.answer();
    expect(ahead.outcomes).to.deep.equal(['answered']);
    expect(waits.outcomes).to.deep.equal([]);
  });

  it('never gives a call to a sandbox that is known to have ended', async () => {
    open().deploy('a');
    const first = await box.warm('a');
    const calls = [box.call('a'), box.call('a'), box.call('a')];
    // The pool hears of the end only later: a dispatcher that asked the pool would try it for ever.
    first.die();
    expect(first.calls).to.have.length(0);
    await settled();
    for (let i = 0; i < 2; i++) box.live[0]!.answer();
    expect(calls.map((call) => call.outcomes)).to.deep.equal([['FUNCTION_EXIT'], ['answered'], ['answered']]);
  });

  it('ends what runs too long, also of a function that was removed since, and spares calls beside it', async () => {
    const clock = new VirtualClock();
    open({ clock }).deploy('a', { timeoutMs: 30, concurrency: 2 });
    const sandbox = await box.warm('a');
    const late = box.call('a');
    box.dispatcher.setFunction('a', undefined);
    clock.advance(29);
    expect(late.outcomes).to.deep.equal([]);
    clock.advance(1);
    expect(late.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
    expect(sandbox.ended).to.equal(true);

    box.deploy('b', { timeoutMs: 30, concurrency: 2 });
    await box.warm('b');
    const old = box.call('b');
    clock.advance(29);
    const young = box.call('b');
    clock.advance(1);
    expect(old.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
    expect(young.outcomes).to.deep.equal(['FUNCTION_EXIT']);
  });

  it('lets only so many calls wait for all functions together, however short they are', async () => {
    open();
    const names = ['a', 'b', 'c', 'd', 'e'];
    for (const name of names) box.deploy(name);
    for (const name of names) await box.warm(name);
    const max = GATEWAY.queuesMaxBytes / DISPATCH.waitingCallBytes;
    expect(max).to.be.below(names.length * GATEWAY.queueMax);
    const calls = Array.from({ length: max + 1_000 }, (_, i) => box.call(names[i % names.length]!));
    const refused = calls.filter(({ outcomes }) => outcomes[0] === 'OVERLOADED');
    // Each function has as much as is left; some run, or were sent ahead.
    const left = max / (names.length + 1);
    expect(refused.length - left).to.be.within(900, 1_010);
    expect(calls.at(-1)!.outcomes).to.deep.equal(['OVERLOADED']);
  });

  it('runs new code after a change, and lets a running call end on the old', async () => {
    open().deploy('a');
    const old = await box.warm('a');
    const running = box.call('a');
    box.deploy('a', { codeHash: 'a-2' });
    const next = box.call('a');
    await settled();
    expect(old.ended).to.equal(false);
    old.answer();
    expect(running.outcomes).to.deep.equal(['answered']);
    await settled();
    expect(old.ended).to.equal(true);
    expect(box.live.map((sandbox) => sandbox.code)).to.deep.equal(['a-2']);
    box.live[0]!.answer();
    expect(next.outcomes).to.deep.equal(['answered']);
  });

  it('does not keep a sandbox that was being made with code that was changed meanwhile', async () => {
    open().deploy('a');
    let go!: () => void;
    box.starting = () => new Promise((resolve) => (go = resolve));
    const call = box.call('a');
    await settled();
    box.deploy('a', { codeHash: 'a-2' });
    box.starting = undefined;
    go();
    await settled();
    for (const sandbox of box.live) {
      expect(sandbox.code).to.equal('a-2');
      if (sandbox.calls.length > 0) sandbox.answer();
    }
    expect(call.outcomes).to.deep.equal(['answered']);
  });

  it('answers NOT_FOUND to what waits for a function that is removed, and lets running calls end', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    const [running, , waiting] = [box.call('a'), box.call('a'), box.call('a')];
    box.dispatcher.setFunction('a', undefined);
    expect(waiting.outcomes).to.deep.equal(['NOT_FOUND']);
    expect(box.call('a').outcomes).to.deep.equal(['NOT_FOUND']);
    sandbox.answer();
    expect(running.outcomes).to.deep.equal(['answered']);
    sandbox.answer();
    await settled();
    expect(box.pool.instances.size).to.equal(0);
  });

  it('tells those who wait why code does not load, and leaves it alone until it may be tried again', async () => {
    open().deploy('a');
    let loads = 0;
    box.loading = () => {
      loads++;
      throw new NemoError('FUNCTION_LOAD', 'it threw at its top level');
    };
    const first = box.call('a');
    await settled();
    expect(first.outcomes).to.deep.equal(['FUNCTION_LOAD']);
    expect(box.call('a').outcomes).to.deep.equal(['FUNCTION_LOAD']);
    await settled();
    expect(loads).to.equal(1);
    // Other code is tried at once.
    box.loading = undefined;
    box.deploy('a', { codeHash: 'a-2' });
    const good = box.call('a');
    await settled();
    box.live[0]!.answer();
    expect(good.outcomes).to.deep.equal(['answered']);
  });

  it('keeps the queue without capacity for another sandbox while one lives, and fails it when none does', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    box.throttle(1, 0, 2);
    for (let i = 0; i < 2; i++) box.startErrors.push(new NemoError('NO_CAPACITY', 'no memory'));
    const calls = [box.call('a'), box.call('a'), box.call('a')];
    await settled();
    expect(box.startErrors).to.have.length(0);
    expect(calls.map((call) => call.outcomes)).to.deep.equal([[], [], []]);
    for (let i = 0; i < 3; i++) sandbox.answer();
    expect(calls.map((call) => call.outcomes[0])).to.deep.equal(['answered', 'answered', 'answered']);

    box.deploy('b');
    box.startErrors.push(new NemoError('NO_CAPACITY', 'no memory'));
    const alone = box.call('b');
    await settled();
    expect(alone.outcomes).to.deep.equal(['NO_CAPACITY']);
  });

  it('tries a start that failed again', async () => {
    open().deploy('a');
    for (let i = 0; i < 2; i++) box.startErrors.push(new NemoError('SANDBOX_START', 'no answer'));
    const call = box.call('a');
    await settled();
    box.live[0]!.answer();
    expect(call.outcomes).to.deep.equal(['answered']);
  });

  it('does not run a call whose caller has left', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    box.call('a');
    box.call('a');
    const left = box.call('a');
    left.gone = true;
    const next = box.call('a');
    for (let i = 0; i < 3; i++) sandbox.answer();
    expect(left.outcomes).to.deep.equal(['CALLER_LEFT']);
    expect(next.outcomes).to.deep.equal(['answered']);
  });

  it('drops a call that waits when its caller leaves, in that moment, wherever it stands in the queue', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    const calls = Array.from({ length: 300 }, () => box.call('a'));
    const waiting = calls.slice(2);
    const fn = box.dispatcher.functions.get('a')!;
    expect(fn.queued).to.equal(298);
    for (const [i, call] of waiting.entries()) if (i % 3 !== 0) call.leave();
    expect(fn.queued).to.equal(100);
    const left = waiting.filter((call) => call.gone);
    expect(new Set(left.map((call) => call.outcomes.join()))).to.deep.equal(new Set(['CALLER_LEFT']));
    for (let i = 0; i < 102; i++) sandbox.answer();
    expect(calls.filter((call) => call.outcomes.join() === 'answered')).to.have.length(102);
    expect([fn.queued, fn.failed, fn.completed]).to.deep.equal([0, 0, 102]);
    expect(box.failures).to.deep.equal([]);
  });

  it('bounds the bodies that wait for all functions together, and frees those of callers that left', () => {
    open();
    // There is room for the rest of a call, not for its body.
    const body = Buffer.alloc(GATEWAY.queueMaxBytes - 2 * DISPATCH.waitingCallBytes);
    for (const name of ['a', 'b', 'c', 'd']) box.deploy(name);
    const calls = ['a', 'b', 'c'].map((name) => box.call(name, body));
    expect(calls.map((call) => call.outcomes)).to.deep.equal([[], ['OVERLOADED'], ['OVERLOADED']]);
    expect(box.call('d').outcomes, 'one without a body').to.deep.equal([]);
    calls[0]!.leave();
    expect(box.call('c', body).outcomes).to.deep.equal([]);
  });

  it('ends a sandbox that goes on for nobody after a grace, and gives what it had not begun to another', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    const [runs, ahead] = [box.call('a'), box.call('a')];
    runs.leave();
    const nowMs = performance.now();
    box.dispatcher.sweep(nowMs + DISPATCH.leftGraceMs - 1);
    expect(sandbox.ended).to.equal(false);
    box.dispatcher.sweep(nowMs + DISPATCH.leftGraceMs + 100);
    expect(sandbox.ended).to.equal(true);
    expect(runs.outcomes).to.deep.equal(['CALLER_LEFT']);
    await settled();
    box.live[0]!.answer();
    expect(ahead.outcomes).to.deep.equal(['answered']);
    expect(box.failures).to.deep.equal([]);
  });

  it('answers everything on stop: what runs may end, what waits and what is cut off hears STOPPING', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    const [ends, cut, ahead] = [box.call('a'), box.call('a'), box.call('a')];
    const drained = box.dispatcher.drain(30);
    expect(box.call('a').outcomes).to.deep.equal(['STOPPING']);
    sandbox.answer();
    await drained;
    await box.pool.close();
    expect([ends, cut, ahead].map((call) => call.outcomes)).to.deep.equal([
      ['answered'],
      ['STOPPING'],
      ['STOPPING'],
    ]);
    await settled();
    expect(box.slots.size).to.equal(0);
  });
});
