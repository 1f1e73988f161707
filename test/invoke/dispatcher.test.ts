import { expect } from 'chai';
import { OFF } from '../../src/conflict/ladder.js';
import { NemoError } from '../../src/errors.js';
import { GATEWAY } from '../../src/tunables.js';
import { type BoxOptions, FALLBACK, InProcessBox, KIND, settled, spec } from './in-process-box.js';

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
    box.pool.addStem(await box.pool.make(1, KIND));
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

  it('lets one worker run on a core and stages one more, with a weight of next to nothing', async () => {
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
    open().deploy('busy', { concurrency: 4 });
    box.deploy('quiet');
    const busy = await box.warm('busy');
    const quiet = await box.warm('quiet');
    for (let i = 0; i < 50; i++) box.call('busy');
    await new Promise((resolve) => setTimeout(resolve, 2));
    busy.answer();
    box.call('quiet');
    for (let turns = 0; quiet.calls.length === 0; turns++) {
      expect(turns).to.be.lessThan(6);
      busy.answer();
    }
  });

  it('fails a staged call whose sandbox dies: it may have begun in a pause of the running one', async () => {
    open().deploy('a');
    box.deploy('b');
    await box.warm('a');
    const b = await box.warm('b');
    box.call('a');
    const staged = box.call('b');
    expect(b.calls).to.have.length(1);
    b.die();
    expect(staged.outcomes).to.deep.equal(['FUNCTION_EXIT']);
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
    open().deploy('a', { timeoutMs: 30, concurrency: 2 });
    const sandbox = await box.warm('a');
    const late = box.call('a');
    box.dispatcher.setFunction('a', undefined);
    await new Promise((resolve) => setTimeout(resolve, 40));
    box.dispatcher.sweep(performance.now());
    expect(late.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
    expect(sandbox.ended).to.equal(true);

    box.deploy('b', { timeoutMs: 30, concurrency: 2 });
    await box.warm('b');
    const [old] = [box.call('b')];
    await new Promise((resolve) => setTimeout(resolve, 40));
    const young = box.call('b');
    box.dispatcher.sweep(performance.now());
    expect(old.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
    expect(young.outcomes).to.deep.equal(['FUNCTION_EXIT']);
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
    expect(box.pool.workers.size).to.equal(0);
  });

  it('refuses calls beyond the queue, by number and by bytes', () => {
    open().deploy('a');
    box.throttle(1, 4, 0);
    const big = Buffer.alloc(GATEWAY.queueMaxBytes / 4);
    for (let i = 0; i < 4; i++) expect(box.call('a', big).outcomes).to.deep.equal([]);
    expect(box.call('a', big).outcomes).to.deep.equal(['OVERLOADED']);
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
    expect(left.outcomes).to.deep.equal(['STOPPING']);
    expect(next.outcomes).to.deep.equal(['answered']);
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

  it('prewarms through the planner, and ends what was not used beyond what it keeps', async () => {
    open({
      prewarm: { policy: 'fixed', stems: 1, warmPerFunction: 1 },
      keepAlive: { policy: 'ttl', keepAlive: 0 },
    }).deploy('a');
    box.planner.tick();
    await settled();
    expect(box.live.map((sandbox) => sandbox.code)).to.deep.equal(['a-1', undefined]);
    expect(box.pool.stems).to.have.length(1);
    const call = box.call('a');
    box.live[0]!.answer();
    expect(call.timeline).to.include({ start: 'warm', firstInSandbox: true });
    const newer = await box.warm('a');
    const real = performance.now;
    performance.now = () => real.call(performance) + 2_000;
    try {
      box.planner.tick();
    } finally {
      performance.now = real;
    }
    expect(box.evicted).to.deep.equal(['a: unused']);
    expect(newer.ended).to.equal(false);
  });

  it('keeps stems for each engine in use, ends those of none, and gives none to the wrong engine', async () => {
    open({ prewarm: { policy: 'fixed', stems: 1, warmPerFunction: 0 } }).deploy('a', { engine: 'other' });
    const keys = (): string[] => box.pool.stems.map(({ stemKind: { key } }) => key).sort();
    for (let i = 0; i < 4; i++) {
      box.planner.tick();
      await settled();
    }
    expect(keys()).to.deep.equal(['other', 'process']);
    const stems = [...box.pool.stems];
    box.deploy('a', { engine: 'process' });
    box.call('a');
    await settled();
    expect(
      box.pool.workers.get(stems.find((one) => one.stemKind.key === 'process')!.id)!.functionName,
    ).to.equal('a');
    const real = performance.now;
    performance.now = () => real.call(performance) + 2_000;
    try {
      box.planner.tick();
    } finally {
      performance.now = real;
    }
    await settled();
    expect(keys()).to.not.include('other');
  });

  it('makes nothing ahead on a throttled core', async () => {
    open({ prewarm: { policy: 'fixed', stems: 1, warmPerFunction: 1 } }).deploy('a');
    box.throttle(1, 1, 1);
    box.planner.tick();
    await settled();
    expect(box.live).to.have.length(0);
  });

  it('does not try to prewarm code that failed to load again at once', async () => {
    open({ prewarm: { policy: 'fixed', stems: 0, warmPerFunction: 1 } });
    let loads = 0;
    box.loading = () => {
      loads++;
      throw new NemoError('BAD_FUNCTION', 'no handler');
    };
    box.dispatcher.setFunction('a', spec('a'));
    for (let i = 0; i < 5; i++) {
      box.planner.tick();
      await settled();
    }
    expect(loads).to.equal(1);
  });
});
