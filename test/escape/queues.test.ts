/** Boundary: what comes from a queue. Attacker: who may add to it. */

import { expect } from 'chai';
import { callFunction } from '../../src/dispatch/call-function.js';
import type { NemoError } from '../../src/model/errors.js';
import { callOf } from '../../src/triggers/stream-entry.js';
import { QUEUE } from '../../src/tunables/index.js';
import { InProcessBox, settled } from '../dispatch/in-process-box.js';
import { callOf as callMadeOf } from '../support/calls.js';

describe('escape: entries of a queue', () => {
  it('are not made JSON where that takes the thread long: 6 MB of control characters were 36 MB, and 130 ms', () => {
    const fields = [Buffer.from('x'), Buffer.alloc(QUEUE.entryMaxBytes - 1, 1)];
    expect(() => callOf(fields)).to.throw(/without a field 'body'/);
    const [name] = fields;
    expect(callOf([name!, Buffer.alloc(QUEUE.asJsonMaxBytes - 1, 'a')]).headers).to.deep.equal({
      'content-type': 'application/json',
    });
  });

  it('that have a body are taken whole', () => {
    const body = Buffer.alloc(QUEUE.entryMaxBytes - 4, 1);
    expect(callOf([Buffer.from('body'), body]).body).to.equal(body);
  });

  it('count as under way until their calls have ended, also those whose answers are too long to hold', async () => {
    const box = new InProcessBox();
    box.deploy('f');
    const outcomes: string[] = [];
    void callFunction({ invoke: (call, sink) => box.dispatcher.invoke(call, sink) }, callMadeOf('f')).catch(
      ({ code }: NemoError) => outcomes.push(code),
    );
    await settled();
    const { reply } = box.live[0]!.calls[0]!;
    reply.onHead(200, {});
    reply.onChunk(Buffer.alloc(QUEUE.answerMaxBytes + 1));
    await settled();
    expect([outcomes, reply.gone]).to.deep.equal([[], true]);
    reply.onEnd();
    await settled();
    expect(outcomes).to.deep.equal(['BODY_TOO_LARGE']);
    await box.close();
  });
});
