import { expect } from 'chai';
import { VirtualClock } from '../../src/model/clock.js';
import { OFF } from '../../src/policy/conflict/ladder.js';
import { DISPATCH, GATEWAY } from '../../src/tunables/index.js';
import { type BoxOptions, FALLBACK, InProcessBox, KIND, settled } from './in-process-box.js';

describe('the dispatcher', () => {
  let box: InProcessBox;
  const open = (options: BoxOptions = {}): InProcessBox => {
    box = new InProcessBox(options);
    return box;
  };
  afterEach(() => box.close());

  it('makes a sandbox for a waiting call and answers it, cold; the next call is warm', async () => {
    open().deploy('a');
    const first = box.call('a');
    await settled();
    box.live[0]!.answer();
    expect(first.outcomes).to.deep.equal(['answered']);
    expect(first.timeline).to.include({ start: 'cold', firstInSandbox: true, core: 1 });
    const second = box.call('a');
    box.live[0]!.answer();
    expect(second.timeline).to.include({ start: 'warm', firstInSandbox: false });
    expect(box.dispatcher.functions.get('a')!.starts).to.deep.equal({ cold: 1, stem: 0, warm: 1 });
    expect(box.live).to.have.length(1);
  });

  it('counts a start from a stem as one, and a call that found the code loaded as warm', async () => {
    open().deploy('a');
    await box.pool.stems.make(1, KIND);
    const first = box.call('a');
    await settled();
    box.live[0]!.answer();
    expect(first.timeline!.start).to.equal('stem');

    box.deploy('b');
    await box.warm('b');
    const late = box.call('b');
    box.live[1]!.answer();
    expect(late.timeline).to.include({ start: 'warm', firstInSandbox: true });
  });

  it('lets one instance run on a core and stages one more, with a weight of next to nothing', async () => {
    open().deploy('a');
    box.deploy('b');
    box.deploy('c');
    const [a, b, c] = [await box.warm('a'), await box.warm('b'), await box.warm('c')];
    box.call('a');
    expect(a.cgroup.weight).to.equal('normal');
    box.call('b');
    box.call('c');
    expect([a, b, c].map((sandbox) => sandbox.calls.length)).to.deep.equal([1, 1, 0]);
    expect([a, b].map((sandbox) => sandbox.cgroup.weight)).to.deep.equal(['normal', 'low']);
    a.answer();
    expect([a, b, c].map((sandbox) => sandbox.calls.length)).to.deep.equal([0, 1, 1]);
    expect([b, c].map((sandbox) => sandbox.cgroup.weight)).to.deep.equal(['normal', 'low']);
  });

  it('does not use a second idle sandbox to go past the budget', async () => {
    open().deploy('a');
    const [one, two] = [await box.warm('a'), await box.warm('a')];
    for (let i = 0; i < 4; i++) box.call('a');
    // One runs and one was sent ahead into the same sandbox.
    expect([one.calls.length, two.calls.length].sort()).to.deep.equal([0, 2]);
  });

  it('keeps a culprit away from the core of its conflict for its time, and lets others go ahead of it', async () => {
    open().deploy('culprit');
    box.deploy('other');
    const [culprit, other] = [await box.warm('culprit'), await box.warm('other')];
    box.dispatcher.blames.blame('culprit', 1, 1e9, 'faults', performance.now());
    box.call('culprit');
    box.call('other');
    expect([culprit.calls.length, other.calls.length]).to.deep.equal([0, 1]);
    other.answer();
    expect(culprit.calls).to.have.length(0);
    box.dispatcher.blames.forget('culprit');
    box.dispatcher.pump();
    expect(culprit.calls).to.have.length(1);
  });

  it('gives a culprit another core at once, if one has a place', async () => {
    open({ functionCores: [1, 2] }).deploy('culprit');
    const sandbox = await box.warm('culprit');
    box.dispatcher.blames.blame('culprit', 1, 1e9, 'faults', performance.now());
    box.call('culprit');
    expect(sandbox.core).to.equal(2);
    expect(sandbox.calls).to.have.length(1);
  });

  it('lets a quiet function go next, whatever another one has queued', async () => {
    open().deploy('busy');
    box.deploy('quiet');
    const busy = await box.warm('busy');
    const quiet = await box.warm('quiet');
    for (let i = 0; i < 100; i++) box.call('busy');
    expect(busy.calls).to.have.length(2);
    box.call('quiet');
    expect(quiet.cgroup.weight).to.equal('low');
    busy.answer();
    // Its sandbox has another call, which was sent ahead before the quiet one came: but the turn has passed.
    expect(busy.calls).to.have.length(1);
    expect([quiet, busy].map((sandbox) => sandbox.cgroup.weight)).to.deep.equal(['normal', 'low']);
    quiet.answer();
    expect(busy.calls).to.have.length(2);
  });

  it('does not let a sandbox of many calls at once keep the core from another function', async () => {
    const clock = new VirtualClock();
    open({ clock }).deploy('busy', { concurrency: 4 });
    box.deploy('quiet');
    const busy = await box.warm('busy');
    const quiet = await box.warm('quiet');
    for (let i = 0; i < 50; i++) box.call('busy');
    clock.advance(2);
    busy.answer();
    box.call('quiet');
    for (let turns = 0; quiet.calls.length === 0; turns++) {
      expect(turns).to.be.lessThan(6);
      busy.answer();
    }
    expect(quiet.calls).to.have.length(1);
  });

  it('refuses calls beyond the queue, by number and by bytes', () => {
    open().deploy('a');
    box.throttle(1, 4, 0);
    const big = Buffer.alloc(GATEWAY.queueMaxBytes / 4 - DISPATCH.waitingCallBytes);
    for (let i = 0; i < 4; i++) expect(box.call('a', big).outcomes).to.deep.equal([]);
    expect(box.call('a', big).outcomes).to.deep.equal(['OVERLOADED']);
    box.dispatcher.setFunction('a', undefined);
    box.deploy('b');
    for (let i = 0; i < GATEWAY.queueMax; i++) box.call('b');
    expect(box.call('b').outcomes).to.deep.equal(['OVERLOADED']);
  });

  it('fails what waited for a minute', () => {
    open().deploy('a');
    box.throttle(1, 4, 0);
    const call = box.call('a');
    box.dispatcher.sweep(performance.now() + 59_000);
    expect(call.outcomes).to.deep.equal([]);
    box.dispatcher.sweep(performance.now() + 61_000);
    expect(call.outcomes).to.deep.equal(['OVERLOADED']);
  });

  it('gives nothing to a frozen core, and goes on when it is given back', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    box.throttle(1, 4, 0);
    const call = box.call('a');
    expect(sandbox.calls).to.have.length(0);
    box.throttle(1, 0, 1);
    box.dispatcher.coreChanged(1, false);
    sandbox.answer();
    expect(call.outcomes).to.deep.equal(['answered']);
  });

  it('moves everything off a core that is off, also what is still starting, and runs calls on the fallback', async () => {
    open().deploy('a');
    const sandbox = await box.warm('a');
    let go!: () => void;
    box.starting = () => new Promise((resolve) => (go = resolve));
    const making = box.pool.make(1, KIND);
    await settled();
    box.throttle(1, OFF, 0);
    box.dispatcher.coreChanged(1, true);
    go();
    const started = (await making).sandbox!;
    expect((started as typeof sandbox).core).to.equal(FALLBACK);
    const [first, second] = [box.call('a'), box.call('a')];
    expect(sandbox.core).to.equal(FALLBACK);
    sandbox.answer();
    expect(first.timeline!.core).to.equal(FALLBACK);
    box.throttle(1, 0, 1);
    box.dispatcher.coreChanged(1, false);
    sandbox.answer();
    expect(second.outcomes).to.deep.equal(['answered']);
    const third = box.call('a');
    expect(sandbox.core).to.equal(1);
    sandbox.answer();
    expect(third.timeline!.core).to.equal(1);
  });

  it('uses every core, the one with the most spare time first', async () => {
    open({ functionCores: [1, 2] }).deploy('a');
    box.board.set(2, 3, 0.9);
    await box.warm('a');
    await box.warm('a');
    box.call('a');
    box.call('a');
    expect(box.live.map((sandbox) => sandbox.core).sort()).to.deep.equal([1, 2]);
    expect(box.live.find((sandbox) => sandbox.calls[0]!.request.callId === '0')!.core).to.equal(2);
  });
});
