import { once } from 'node:events';
import { cpus } from 'node:os';
import { expect } from 'chai';
import { getScheduling } from '../../src/linux/sched.js';
import { GateBed, tick } from '../support/gate-bed.js';

/** What the function may use of the core after the end of its gate: the promise to the NF. */
const BACK_MS = 10;
/** How long is looked: a gate that is still lending would give a multiple of BACK_MS. */
const LOOK_MS = 60;

/** The long form: GATE_ROUNDS=3000. */
const ROUNDS = Number(process.env.GATE_ROUNDS ?? 60);

describe('slice gate', function () {
  this.timeout(20_000 + ROUNDS * 400);
  before(function () {
    if (cpus().length < 2) this.skip();
  });

  let bed: GateBed;
  beforeEach(async () => {
    bed = new GateBed();
    await bed.ready();
  });
  afterEach(() => bed.close());

  it('lends a polling core, and changes nothing of the function that would have to be put back', async () => {
    await bed.startHost();
    await bed.lent(50);
    const { policy, priority } = getScheduling(bed.fn.pid!);
    expect({ policy, priority }).to.deep.equal({ policy: 'idle', priority: 0 });
  });

  it('gives the core back when it is stopped at any moment, and lends again when it goes on', async () => {
    await bed.startHost();
    for (let i = 0; i < ROUNDS; i++) {
      await bed.lent(1 + Math.random() * 3);
      bed.host!.kill('SIGSTOP');
      const before = bed.usedMs();
      await tick(LOOK_MS);
      expect(bed.usedMs() - before, `stop ${i}`).to.be.below(BACK_MS);
      bed.host!.kill('SIGCONT');
    }
  });

  it('gives the core back when it is killed at any moment', async () => {
    for (let i = 0; i < ROUNDS / 5; i++) {
      const host = await bed.startHost();
      await bed.lent(1 + Math.random() * 5);
      const ended = once(host, 'exit');
      host.kill('SIGKILL');
      const before = bed.usedMs();
      await ended;
      await tick(LOOK_MS);
      expect(bed.usedMs() - before, `kill ${i}`).to.be.below(BACK_MS);
    }
  });
});
