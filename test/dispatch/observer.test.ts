import { expect } from 'chai';
import { VirtualClock } from '../../src/model/clock.js';
import { NemoError } from '../../src/model/errors.js';
import { CALLER, callOf } from '../support/calls.js';
import { InProcessBox, Outcome, settled } from './in-process-box.js';

describe('an observer of calls', () => {
  it('hears of each call once, whatever becomes of it, and where it came from', async () => {
    const heard = new Map<string, string[]>();
    const hear = (callId: string, how: string) => heard.set(callId, [...(heard.get(callId) ?? []), how]);
    const box = new InProcessBox({
      clock: new VirtualClock(1_000),
      watch: {
        calls: {
          ended(name, { request: { callId, principal, mode } }, instance, error) {
            const where = instance === undefined ? 'queue' : 'sandbox';
            hear(callId, `${name} ${error?.code ?? 'ok'} ${where} ${principal.source} ${mode}`);
          },
          refused: (key, { callId, principal, mode }, { code }) =>
            hear(callId, `${key} ${code} refused ${principal.source} ${mode}`),
        },
      },
    });
    const call = (callId: string, name: string, over = {}): Outcome => {
      const sink = new Outcome();
      box.dispatcher.invoke(callOf(name, { callId, ...over }), sink);
      return sink;
    };
    for (const name of ['a', 'b']) box.deploy(name);
    const sandbox = await box.warm('a');
    call('answered', 'a', { mode: 'async', principal: { source: 'queue', name: 'orders' } });
    sandbox.answer();
    call('threw', 'a');
    sandbox.fail();
    call('unknown', 'nobody');
    box.dispatcher.refused(
      'a',
      { callId: 'large', principal: CALLER, mode: 'sync' },
      new NemoError('BODY_TOO_LARGE', 'too large'),
    );
    call('runs', 'a');
    call('ahead', 'a');
    call('waits', 'a').leave();
    call('removed', 'a');
    box.dispatcher.setFunction('a', undefined);
    sandbox.die();
    await settled();
    await box.close();
    call('late', 'b');
    expect(Object.fromEntries(heard)).to.deep.equal({
      answered: ['a ok sandbox queue async'],
      threw: ['a FUNCTION_ERROR sandbox http sync'],
      unknown: ['nobody NOT_FOUND refused http sync'],
      large: ['a BODY_TOO_LARGE refused http sync'],
      waits: ['a CALLER_LEFT queue http sync'],
      removed: ['a NOT_FOUND queue http sync'],
      runs: ['a FUNCTION_EXIT sandbox http sync'],
      ahead: ['a FUNCTION_EXIT sandbox http sync'],
      late: ['b STOPPING refused http sync'],
    });
  });

  it('hears why an answer could not be given to its caller', async () => {
    const codes: Array<string | undefined> = [];
    const box = new InProcessBox({
      watch: { calls: { ended: (_name, _call, _instance, error) => codes.push(error?.code) } },
    });
    box.deploy('a');
    const sandbox = await box.warm('a');
    const sink = Object.assign(new Outcome(), { failure: new NemoError('FUNCTION_ERROR', 'not HTTP') });
    box.dispatcher.invoke(callOf('a'), sink);
    sandbox.answer();
    expect(codes).to.deep.equal(['FUNCTION_ERROR']);
    expect(box.failures).to.deep.equal(['a: FUNCTION_ERROR']);
    await box.close();
  });
});
