/** What one tenant's functions can keep from all others through the scheduler: turns, memory, what is made ahead of calls. */

import { expect } from 'chai';
import { VirtualClock } from '../../src/model/clock.js';
import { NemoError } from '../../src/model/errors.js';
import type { PrewarmDecision } from '../../src/policy/prewarm/next.js';
import { DISPATCH, HARVEST } from '../../src/tunables/index.js';
import { type BoxOptions, InProcessBox, settled } from '../dispatch/in-process-box.js';

const MINUTES_15 = 15 * 60_000;

describe('escape: the scheduler', () => {
  let clock: VirtualClock;
  let box: InProcessBox;
  const open = (options: BoxOptions = {}): void => {
    clock = new VirtualClock(1_000);
    box = new InProcessBox({ clock, ...options });
  };
  afterEach(() => box.close());
  const quanta = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      clock.advance(HARVEST.quantumMs + 1);
      await settled();
    }
  };

  it('lets a function have a turn though another has all that may share a core, for minutes', async () => {
    open();
    for (const name of ['waits', 'a', 'b']) box.deploy(name, { timeoutMs: MINUTES_15 });
    for (let i = 0; i < 4 * HARVEST.sharingMax; i++) box.call('waits');
    await quanta(4 * HARVEST.sharingMax);
    expect(new Set(box.inside())).to.deep.equal(new Set(['waits']));
    const [a, b] = [box.call('a'), box.call('b')];
    await quanta(4);
    // One after the other, each with a quantum to itself; and no more of whoever has turns already.
    expect(box.inside().filter((name) => name !== 'waits')).to.have.members(['a', 'b']);
    const running = box.inside().length;
    box.call('a');
    await quanta(4);
    expect(box.live.filter(({ code }) => code === 'a-1')).to.have.length(1);
    expect(box.inside().length - running).to.be.lessThan(2);
    for (const sandbox of box.live) if (sandbox.code !== 'waits-1') sandbox.answer();
    expect([a, b].map(({ outcomes }) => outcomes)).to.deep.equal([['answered'], ['answered']]);
  });

  it('gives no stem to a function that may use more than there is beyond what the stem counts for', async () => {
    open({
      ...{ prewarm: { policy: 'fixed', stems: 2, warmPerFunction: 0 }, memoryMaxBytes: 100, stemBytes: 10 },
    });
    box.deploy('a', { memoryBytes: 60 });
    for (let i = 0; i < 4; i++) {
      box.planner.tick();
      await settled();
    }
    expect(box.pool.stems.ready).to.have.length(2);
    const calls = Array.from({ length: 3 }, () => box.call('a'));
    await quanta(20);
    expect(box.pool.committedBytes).to.be.at.most(100);
    // They wait for the sandbox that there is.
    expect(calls.flatMap(({ outcomes }) => outcomes)).to.deep.equal([]);
    expect(box.live.filter(({ code }) => code === 'a-1')).to.have.length(1);
  });

  it('does not make again and again, ahead of calls, what ends by itself before its first call', async () => {
    open({ prewarm: { policy: 'fixed', stems: 0, warmPerFunction: 1 } });
    box.deploy('flash');
    const secondsLeft = 30;
    for (let i = 0; i < secondsLeft; i++) {
      box.planner.tick();
      await settled();
      for (const sandbox of box.live) sandbox.die();
      clock.advance(1_000);
    }
    expect(box.sandboxes.length).to.be.within(2, 6);
    for (const sandbox of box.live) sandbox.die();
    await settled();
    // A call has one made at once, as ever, and its answer is a reason to try again.
    const call = box.call('flash');
    await settled();
    box.live[0]!.answer();
    expect(call.outcomes).to.deep.equal(['answered']);
  });

  it('makes sandboxes of others ahead of calls though there is no memory for one of the function that was called last', async () => {
    open({
      ...{ prewarm: { policy: 'fixed', stems: 0, warmPerFunction: 1 }, memoryMaxBytes: 100, stemBytes: 10 },
    });
    box.deploy('small', { memoryBytes: 20 });
    clock.advance(1);
    box.deploy('large', { memoryBytes: 101 });
    for (let i = 0; i < 5; i++) {
      box.planner.tick();
      await settled();
      clock.advance(DISPATCH.loadBackoffMs);
    }
    expect(box.live.map(({ code }) => code)).to.deep.equal(['small-1']);
  });

  it('makes sandboxes of others ahead of calls while the code of one does not come to its end', async () => {
    open({ prewarm: { policy: 'fixed', stems: 0, warmPerFunction: 1 } });
    box.loading = ({ code }) => (code === 'hangs-1' ? new Promise(() => {}) : undefined);
    box.deploy('hangs', { timeoutMs: MINUTES_15 });
    box.planner.tick();
    await settled();
    box.deploy('other');
    clock.advance(DISPATCH.loadPatienceMs);
    box.planner.tick();
    await settled();
    expect(box.live.map(({ code }) => code)).to.have.members(['hangs-1', 'other-1']);
  });

  it('makes sandboxes of others ahead of calls while one of the function that was called last cannot be started', async () => {
    open({ prewarm: { policy: 'fixed', stems: 0, warmPerFunction: 1 } });
    box.starting = async ({ willLoad }) => {
      if (willLoad?.ref.key === 'broken') throw new NemoError('SANDBOX_START', 'it never starts');
    };
    box.deploy('sound');
    clock.advance(1);
    box.deploy('broken');
    for (let i = 0; i < 5; i++) {
      box.planner.tick();
      await settled();
      clock.advance(DISPATCH.loadBackoffMs);
    }
    expect(box.live.map(({ code }) => code)).to.deep.equal(['sound-1']);
  });

  it('makes sandboxes of others ahead of calls while one of the function that was called last does not get ready', async () => {
    open({ prewarm: { policy: 'fixed', stems: 0, warmPerFunction: 1 } });
    box.starting = ({ willLoad }) =>
      willLoad?.ref.key === 'hangs' ? new Promise(() => {}) : Promise.resolve();
    box.deploy('other');
    clock.advance(1);
    box.deploy('hangs');
    box.planner.tick();
    await settled();
    clock.advance(DISPATCH.loadPatienceMs);
    await settled();
    box.planner.tick();
    await settled();
    expect(box.live.map(({ code }) => code)).to.deep.equal(['other-1']);
  });

  it('keeps stems of all kinds while one of another kind cannot be started', async () => {
    open({ prewarm: { policy: 'fixed', stems: 1, warmPerFunction: 0 } });
    box.starting = async ({ variant }) => {
      if (variant === 'broken') throw new NemoError('SANDBOX_START', 'it never starts');
    };
    box.deploy('broken', { engine: 'kinds', codeHash: 'broken' });
    box.deploy('sound', { engine: 'kinds', codeHash: 'sound' });
    for (let i = 0; i < 5; i++) {
      box.planner.tick();
      await settled();
      clock.advance(DISPATCH.loadBackoffMs);
    }
    expect(box.pool.stems.ready.map(({ stemKind: { key } }) => key)).to.have.members([
      'process',
      'kinds/sound',
    ]);
  });

  it('gives a kind of stems its place again once one of it was made', async () => {
    const made: string[] = [];
    const onPrewarm = (what: PrewarmDecision): void => void (what.kind === 'stem' && made.push(what.key));
    open({ prewarm: { policy: 'fixed', stems: 1, warmPerFunction: 0 }, watch: { onPrewarm } });
    let broken = true;
    box.starting = async ({ variant }) => {
      if (variant === 'a' && broken) throw new NemoError('SANDBOX_START', 'it does not start yet');
    };
    for (const codeHash of ['a', 'b']) box.deploy(codeHash, { engine: 'kinds', codeHash });
    const makeAll = async (): Promise<string[]> => {
      made.length = 0;
      for (let i = 0; i < 5; i++) {
        box.planner.tick();
        await settled();
        clock.advance(DISPATCH.loadBackoffMs);
      }
      return made.slice();
    };
    expect(await makeAll()).to.include.members(['process', 'kinds/a', 'kinds/b']);
    broken = false;
    expect(await makeAll()).to.deep.equal(['kinds/a']);
    for (const stem of box.pool.stems.ready.slice()) await box.pool.end(stem);
    expect(await makeAll()).to.deep.equal(['process', 'kinds/a', 'kinds/b']);
  });

  it('keeps nothing of kinds of stems that no function needs any more, of which each deploy may bring another', async () => {
    open();
    for (const codeHash of ['first', 'second']) {
      box.deploy('f', { engine: 'kinds', codeHash });
      box.call('f');
      await settled();
      box.live[0]!.answer();
      await settled();
      box.planner.tick();
    }
    const askedFor = (kind: string) => box.pool.stems.askedFor(`kinds/${kind}`).since(0);
    expect(['first', 'second'].map(askedFor)).to.deep.equal([0, 1]);
  });

  it('gives a function that asks for more while its sandbox starts no more memory than was set aside', async () => {
    open({ memoryMaxBytes: 100, stemBytes: 10 });
    let goOn = (): void => {};
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    box.starting = () => gate;
    const names = ['a', 'b', 'c'];
    for (const name of names) box.deploy(name, { memoryBytes: 20 });
    for (const name of names) box.call(name);
    await settled();
    for (const name of names) box.deploy(name, { memoryBytes: 90, codeHash: `${name}-2` });
    goOn();
    await quanta(10);
    expect(box.pool.committedBytes).to.be.at.most(100);
    expect(box.inside()).to.have.length(1);
  });

  it('fails the calls of a function whose engine is not there, and goes on', async () => {
    open();
    box.deploy('odd', { engine: 'of a later version' });
    box.deploy('plain');
    const odd = box.call('odd');
    const plain = box.call('plain');
    await quanta(2);
    expect(odd.outcomes).to.deep.equal(['BAD_REQUEST']);
    expect(box.inside()).to.deep.equal(['plain']);
    expect(plain.outcomes).to.deep.equal([]);
  });
});
