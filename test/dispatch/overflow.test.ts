import { expect } from 'chai';
import type { ErrorCode } from '../../src/model/errors.js';
import type { ReplySink } from '../../src/model/reply-sink.js';
import { callOf } from '../support/calls.js';
import { InProcessBox, Outcome } from './in-process-box.js';

describe('where calls go that are not accepted', () => {
  const GIB = 2 ** 30;

  it('may be elsewhere: their callers are told nothing here, and no observer hears of them', async () => {
    const asked: ErrorCode[] = [];
    let elsewhere: ReplySink | undefined;
    const refused: string[] = [];
    const box = new InProcessBox({
      memoryMaxBytes: GIB,
      watch: { calls: { refused: (key, _call, { code }) => refused.push(`${key} ${code}`) } },
      overflow: {
        take: (_call, sink, { code }) => {
          asked.push(code);
          if (code !== 'NO_CAPACITY') return false;
          elsewhere = sink;
          return true;
        },
      },
    });
    box.deploy('large', { memoryBytes: 2 * GIB });
    const [large, unknown] = [new Outcome(), new Outcome()];
    box.dispatcher.invoke(callOf('large'), large);
    box.dispatcher.invoke(callOf('nobody'), unknown);
    expect(asked).to.deep.equal(['NO_CAPACITY', 'NOT_FOUND']);
    expect(large.outcomes).to.deep.equal([]);
    expect(unknown.outcomes).to.deep.equal(['NOT_FOUND']);
    expect(refused).to.deep.equal(['nobody NOT_FOUND']);
    expect(elsewhere).to.equal(large);
    await box.close();
  });

  it('is not asked for what the box takes', async () => {
    let asked = 0;
    const box = new InProcessBox({ overflow: { take: () => ++asked > 0 } });
    box.deploy('a');
    const sandbox = await box.warm('a');
    const sink = new Outcome();
    box.dispatcher.invoke(callOf('a'), sink);
    sandbox.answer();
    expect([asked, sink.outcomes]).to.deep.equal([0, ['answered']]);
    await box.close();
  });
});
