import { expect } from 'chai';
import type { CallRequest, CallTimeline } from '../../src/model/call.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { type CronTriggers, createCronTriggers } from '../../src/triggers/cron.js';
import { startBox, type TestBox } from '../gateway/in-process-platform.js';

const EVERY_SECOND = '* * * * * *';

describe('cron trigger', function () {
  this.timeout(15_000);
  let box: TestBox;
  let cron: CronTriggers;
  const calls: Array<{ call: CallRequest; sink: ReplySink; timeline: CallTimeline }> = [];
  let onCall: () => void = () => {};
  /** Resolves when `count` calls have come. */
  const called = (count: number): Promise<void> =>
    new Promise((resolve) => {
      onCall = () => {
        if (calls.length >= count) resolve();
      };
      onCall();
    });
  const deploy = (name: string, schedule?: string) =>
    box.platform.registry.deploy({ name, code: 'export default () => 1;', ...(schedule && { schedule }) });

  beforeEach(async () => {
    box = await startBox();
    calls.length = 0;
    await box.serve('tick', (call, sink, timeline) => {
      calls.push({ call, sink, timeline });
      onCall();
    });
    cron = createCronTriggers(box.platform);
  });
  afterEach(async () => {
    await cron.close();
    await box.close();
  });

  it('calls with an empty body when the time comes, again and again', async () => {
    await deploy('tick', EVERY_SECOND);
    expect(cron.scheduled()).to.deep.equal(['tick']);
    await called(1);
    expect(calls[0]!.call).to.include({ method: 'POST', path: '/', query: '' });
    expect(calls[0]!.call.ref.key).to.equal('tick');
    expect(calls[0]!.call.body).to.have.length(0);
    expect(calls[0]!.call.headers['x-nemo-trigger']).to.equal('cron');
    calls[0]!.sink.onHead(200, {});
    calls[0]!.sink.onEnd(calls[0]!.timeline);
    await called(2);
    expect(calls[1]!.call.callId).to.not.equal(calls[0]!.call.callId);
    expect(box.calls.functions.get('tick')).to.include({ ok: 1 });
    expect(box.calls.sources.cron).to.deep.equal({ sync: 0, async: 1 });
  });

  it('has a clock for each function of a name, by its namespace', async () => {
    await box.serve('team/tick', (call, sink, timeline) => {
      calls.push({ call, sink, timeline });
      onCall();
    });
    await deploy('tick', '0 0 1 1 *');
    const { spec } = await box.platform.registry.deploy({
      ...{ namespace: 'team', name: 'tick', code: 'export default () => 1;', schedule: EVERY_SECOND },
    });
    expect(cron.scheduled()).to.deep.equal(['team/tick', 'tick']);
    await called(1);
    expect(calls[0]!.call.ref).to.equal(spec.ref);
    calls[0]!.sink.onEnd(calls[0]!.timeline);
    expect(box.calls.functions.get('team/tick')).to.include({ ok: 1 });
    await box.platform.registry.remove('team/tick');
    expect(cron.scheduled()).to.deep.equal(['tick']);
  });

  it('leaves a turn out while the call before runs, and says so once', async () => {
    await deploy('tick', EVERY_SECOND);
    await called(1);
    const warnings = () => box.platform.events.since(0, 100).filter(({ kind }) => kind === 'warning');
    while (warnings().length === 0) await new Promise((resolve) => setTimeout(resolve, 50));
    await new Promise((resolve) => setTimeout(resolve, 1_100));
    expect(calls).to.have.length(1);
    expect(warnings()).to.have.length(1);
    expect(warnings()[0]).to.include({ functionName: 'tick' });
    calls[0]!.sink.onEnd(calls[0]!.timeline);
    await called(2);
  });

  it('follows the registry: new, changed and removed schedules', async () => {
    await deploy('tick', EVERY_SECOND);
    await deploy('yearly', '0 0 1 1 *');
    expect(cron.scheduled()).to.deep.equal(['tick', 'yearly']);
    await deploy('tick');
    await box.platform.registry.remove('yearly');
    expect(cron.scheduled()).to.deep.equal([]);
    const before = calls.length;
    await new Promise((resolve) => setTimeout(resolve, 1_200));
    expect(calls).to.have.length(before);
  });

  it('starts what was deployed before it, and nothing after it was closed', async () => {
    await deploy('tick', EVERY_SECOND);
    await cron.close();
    cron = createCronTriggers(box.platform);
    await called(1);
    await cron.close();
    await deploy('tick', '*/2 * * * * *');
    expect(cron.scheduled()).to.deep.equal([]);
  });
});
