import { expect } from 'chai';
import { VirtualClock } from '../../src/model/clock.js';
import { NemoError } from '../../src/model/errors.js';
import { type BoxOptions, InProcessBox, settled, spec } from '../dispatch/in-process-box.js';

describe('the planner, beside the dispatcher', () => {
  let box: InProcessBox;
  let clock: VirtualClock;
  const open = (options: BoxOptions = {}): InProcessBox => {
    clock = new VirtualClock();
    box = new InProcessBox({ clock, ...options });
    return box;
  };
  afterEach(() => box.close());
  /** What waits for time to pass sees it passed. */
  const tickTwoSecondsLater = (): void => {
    clock.moveTo(clock.nowMs() + 2_000);
    box.planner.tick();
  };

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
    tickTwoSecondsLater();
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
      box.pool.instances.get(stems.find((one) => one.stemKind.key === 'process')!.id)!.functionKey,
    ).to.equal('a');
    tickTwoSecondsLater();
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

  it('does not try to prewarm code that failed to load again at once, and says why it failed', async () => {
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
    expect(box.failures).to.deep.equal(['a: BAD_FUNCTION']);
  });
});
