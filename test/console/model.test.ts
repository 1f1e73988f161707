import { expect } from 'chai';
import { eventMatches, newestMatching } from '../../src/console/web/event-filter.js';
import { boxTotals, ConsoleModel, EVENTS_KEPT } from '../../src/console/web/model.js';
import type { FeedEvent } from '../../src/model/feed.js';
import { FeedSource } from './support/feed-source.js';

describe('console model', () => {
  it('counts frames lost within a connection, not those before it', () => {
    const source = new FeedSource(0);
    const model = new ConsoleModel();
    source.next();
    model.apply(source.next(), true);
    model.apply(source.next(), false);
    expect(model.lostFrames).to.equal(0);
    for (let i = 0; i < 7; i++) source.next();
    model.apply(source.next(), false);
    expect(model.lostFrames).to.equal(7);
    for (let i = 0; i < 50; i++) source.next();
    model.apply(source.next(), true);
    expect(model.lostFrames).to.equal(7);
  });

  it('sees a restarted agent as that, not as loss', () => {
    const model = new ConsoleModel();
    const old = new FeedSource(0);
    for (let i = 0; i < 30; i++) model.apply(old.next(), i === 0);
    model.apply(new FeedSource(10_000).next(), true);
    expect([model.agentRestarts, model.lostFrames]).to.deep.equal([1, 0]);
    expect(model.lanes.get(2)!.history.length).to.equal(31);
  });

  it('takes the newest frame once more after a reconnect without calling it a restart', () => {
    const model = new ConsoleModel();
    const frame = new FeedSource(0).next();
    model.apply(frame, true);
    model.apply(frame, true);
    expect(model.agentRestarts).to.equal(0);
    expect(model.events.length).to.equal(frame.events.length);
  });

  it('makes a lane for NF cores only, and keeps it a minute after the NF went', () => {
    const source = new FeedSource(0);
    const model = new ConsoleModel();
    model.apply(source.next(), true);
    expect(model.sortedLanes().map((lane) => lane.core)).to.deep.equal([2, 3]);
    for (let i = 0; i < 605; i++) {
      const frame = source.next();
      frame.cores[2]!.role = 'free';
      model.apply(frame, false);
      if (i === 590) expect(model.lanes.has(2)).to.equal(true);
    }
    expect(model.sortedLanes().map((lane) => lane.core)).to.deep.equal([3]);
  });

  it('keeps the newest events only', () => {
    const source = new FeedSource(0);
    const model = new ConsoleModel();
    for (let i = 0; i < EVENTS_KEPT + 20; i++) source.event('warning', 'warning', `number ${i}`);
    model.apply(source.next(), true);
    expect(model.events.length).to.equal(EVENTS_KEPT);
    expect(model.events.at(-1)!.message).to.equal(`number ${EVENTS_KEPT + 19}`);
  });

  it('sums up the box', () => {
    const frame = new FeedSource(0).next();
    frame.nfs[0]!.sloHeld = false;
    frame.nfs.push({ ...frame.nfs[1]!, id: 'old', state: 'gone', sloHeld: false });
    const box = boxTotals(frame);
    expect([box.nfs, box.slosKnown, box.slosHeld, box.nfCores, box.failed]).to.deep.equal([2, 2, 1, 2, 3]);
    expect(box.functionCores).to.be.closeTo(
      frame.cores[2]!.functionRatio + frame.cores[3]!.functionRatio,
      1e-9,
    );
  });
});

describe('console event filter', () => {
  const event: FeedEvent = {
    seq: 1,
    timeMs: 0,
    kind: 'throttle',
    severity: 'warning',
    message: 'Core 2 throttled',
    core: 2,
    functionName: 'hello',
    cause: 'slo',
  };

  it('matches all words in any field, whatever their case', () => {
    for (const text of ['', 'THROTTLE', 'hello slo', 'core 2', ' core2 ']) {
      expect(eventMatches(event, 'info', text), text).to.equal(true);
    }
    for (const text of ['hello core3', 'frozen', 'undefined']) {
      expect(eventMatches(event, 'info', text), text).to.equal(false);
    }
  });

  it('leaves out lesser severities, and gives the newest first', () => {
    expect(eventMatches(event, 'warning', '')).to.equal(true);
    expect(eventMatches(event, 'error', '')).to.equal(false);
    const events = [1, 2, 3].map((seq) => ({ ...event, seq }));
    expect(newestMatching(events, 'info', '', 2).map(({ seq }) => seq)).to.deep.equal([3, 2]);
  });
});
