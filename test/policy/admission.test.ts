import { expect } from 'chai';
import { guardAdmission } from '../../src/policy/admission/guard.js';
import type { AdmissionSnapshot } from '../../src/policy/admission/policy.js';
import { DISPATCH } from '../../src/tunables/index.js';
import { InProcessBox, settled } from '../dispatch/in-process-box.js';

const MIB = 2 ** 20;

describe('sandbox/admission: the guard', () => {
  const policy = guardAdmission({ queueMax: 10, queueMaxBytes: 100, queuesMaxBytes: MIB });
  const now = (over: Partial<AdmissionSnapshot>): AdmissionSnapshot => ({
    queued: 0,
    queuedBytes: 0,
    allQueuedBytes: 0,
    meanMs: 3000,
    sandboxes: 0,
    lackingBytes: () => 0,
    evictableBytes: () => 0,
    ...over,
  });

  it('bounds the queue by calls and by bytes, and says when half of it is done', () => {
    expect(policy.refuse(now({ queued: 9, queuedBytes: 100 }))).to.equal(undefined);
    expect(policy.refuse(now({ queued: 10 }))).to.deep.equal({ why: 'queue full', retryAfterS: 15 });
    expect(policy.refuse(now({ queuedBytes: 101 }))?.why).to.equal('queue full');
    const all = 20 * DISPATCH.waitingCallBytes;
    const shared = guardAdmission({ queueMax: 10, queueMaxBytes: all, queuesMaxBytes: all });
    const half = { queued: 9, queuedBytes: all / 20 };
    expect(shared.refuse(now({ ...half, allQueuedBytes: all / 2 }))).to.equal(undefined);
    expect(shared.refuse(now({ ...half, allQueuedBytes: all / 2 + 1 }))?.why).to.equal('queues full');
    // However much others have, one short call of each may wait.
    expect(shared.refuse(now({ queuedBytes: all / 20, allQueuedBytes: all }))).to.equal(undefined);
    expect(shared.refuse(now({ queuedBytes: all / 20 + 1, allQueuedBytes: all }))?.why).to.equal(
      'queues full',
    );
  });

  it('refuses a call that needs a sandbox for which there is no memory, and none that could have one', () => {
    const lackingBytes = () => 5;
    expect(policy.refuse(now({ lackingBytes }))).to.deep.equal({ why: 'no memory', retryAfterS: 3 });
    expect(policy.refuse(now({ lackingBytes, evictableBytes: () => 5 }))).to.equal(undefined);
    expect(policy.refuse(now({ lackingBytes, sandboxes: 1 }))).to.equal(undefined);
  });
});

describe('memory for sandboxes', () => {
  let box: InProcessBox;
  const open = (memoryMaxBytes: number) => {
    box = new InProcessBox({ memoryMaxBytes, keepAlive: 'lru' });
    for (const name of ['a', 'b', 'c']) box.deploy(name, { memoryBytes: 64 * MIB });
  };
  afterEach(() => box.close());

  async function answered(name: string) {
    const call = box.call(name);
    await settled();
    box.live.find((sandbox) => sandbox.calls.length > 0)?.answer();
    await settled();
    return call;
  }

  it('makes room for a call by ending the idle sandbox that the keep-alive policy values least', async () => {
    open(2 * 64 * MIB);
    for (const name of ['a', 'b', 'a', 'c']) {
      expect((await answered(name)).outcomes).to.deep.equal(['answered']);
    }
    expect(box.evicted).to.deep.equal(['b: memory pressure']);
    expect(box.live.map((sandbox) => sandbox.code)).to.deep.equal(['a-1', 'c-1']);
  });

  it('refuses a call at once while all memory is in use, and takes it afterwards', async () => {
    open(64 * MIB);
    const first = box.call('a');
    await settled();
    const refused = box.call('b');
    expect(refused.outcomes).to.deep.equal(['NO_CAPACITY']);
    // A function that has a sandbox queues for it.
    const second = box.call('a');
    box.live[0]!.answer();
    await settled();
    box.live[0]!.answer();
    await settled();
    expect([first, second].map((call) => call.outcomes)).to.deep.equal([['answered'], ['answered']]);
    expect((await answered('b')).outcomes).to.deep.equal(['answered']);
  });
});
