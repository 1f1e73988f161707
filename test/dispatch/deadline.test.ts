import { expect } from 'chai';
import { VirtualClock } from '../../src/model/clock.js';
import { HARVEST } from '../../src/tunables/index.js';
import { InProcessBox, type TestSandbox } from './in-process-box.js';

const LIMIT_MS = 30;

describe('the deadline of a call', () => {
  let clock: VirtualClock;
  let box: InProcessBox;
  beforeEach(() => {
    clock = new VirtualClock(1_000);
    box = new InProcessBox({ clock });
    for (const name of ['a', 'b']) box.deploy(name, { timeoutMs: LIMIT_MS });
  });
  afterEach(() => box.close());
  /** What the sandbox was told that the call may take from its begin. */
  const told = (sandbox: TestSandbox, index = 0): number => sandbox.calls[index]!.deadlineMs - clock.nowMs();

  it('is what its sandbox was told, to the millisecond', async () => {
    const sandbox = await box.warm('a');
    const call = box.call('a');
    expect(told(sandbox)).to.equal(LIMIT_MS);
    clock.advance(LIMIT_MS - 1);
    expect(call.outcomes).to.deep.equal([]);
    clock.advance(1);
    expect(call.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
  });

  it('of one that was sent ahead counts from when those before it have ended', async () => {
    const sandbox = await box.warm('a');
    box.call('a');
    const ahead = box.call('a');
    const toldMs = told(sandbox, 1);
    clock.advance(LIMIT_MS - 1);
    sandbox.answer();
    clock.advance(toldMs - 1);
    expect(ahead.outcomes).to.deep.equal([]);
    clock.advance(1);
    expect(ahead.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
  });

  it('leaves a standby one its whole time after a quantum, in which its turn comes', async () => {
    box.deploy('long', { timeoutMs: 60_000 });
    await box.warm('long');
    const b = await box.warm('b');
    box.call('long');
    const standby = box.call('b');
    const toldMs = told(b);
    expect(toldMs).to.equal(LIMIT_MS + HARVEST.quantumMs);
    expect(b.cgroup.weight).to.equal('low');
    clock.advance(toldMs - 1);
    expect(b.cgroup.weight).to.equal('normal');
    expect(standby.outcomes).to.deep.equal([]);
    clock.advance(1);
    expect(standby.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
  });

  it('stays, whether its sandbox loses its turn or the box looks at it in between', async () => {
    const [a, b] = [await box.warm('a'), await box.warm('b')];
    box.call('a');
    const ahead = box.call('a');
    box.call('b');
    const toldMs = told(a, 1);
    a.answer();
    expect([a, b].map((sandbox) => sandbox.cgroup.weight)).to.deep.equal(['low', 'normal']);
    for (let ms = 1; ms < toldMs; ms++) {
      clock.advance(1);
      box.dispatcher.sweep(clock.nowMs());
      box.dispatcher.pump();
    }
    expect(ahead.outcomes).to.deep.equal([]);
    clock.advance(1);
    expect(ahead.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
  });

  it('passes for each call of a sandbox of several at once by itself', async () => {
    box.deploy('several', { timeoutMs: LIMIT_MS, concurrency: 2 });
    const sandbox = await box.warm('several');
    const first = box.call('several');
    clock.advance(10);
    const second = box.call('several');
    expect(told(sandbox, 1)).to.equal(LIMIT_MS);
    sandbox.answer();
    clock.advance(LIMIT_MS - 1);
    expect([first, second].map(({ outcomes }) => outcomes)).to.deep.equal([['answered'], []]);
    clock.advance(1);
    expect(second.outcomes).to.deep.equal(['FUNCTION_TIMEOUT']);
  });
});
