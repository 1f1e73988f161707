import { once } from 'node:events';
import { cpus } from 'node:os';
import { expect } from 'chai';
import { getScheduling } from '../../src/linux/sched.js';
import { GateSetup } from '../support/gate-setup.js';
import { letTimePass } from '../support/waiting.js';

/** What the function may use of the core after the end of its gate: the promise to the NF. */
const BACK_MS = 10;
/** How long is looked at least: a gate that is still lending would give some 40 % of it. */
const LOOK_MS = 80;
/** The kernel counts the time of a running thread at its tick: the first reading may be so much too low. */
const TICK_MS = 4;
/** What the fair scheduler itself gives to a SCHED_IDLE thread between others is well below this share. */
const OWN_SHARE = 0.05;

/** The long form: GATE_ROUNDS=3000. */
const ROUNDS = Number(process.env.GATE_ROUNDS ?? 60);

describe('slice gate', function () {
  this.timeout(30_000 + ROUNDS * 500);
  before(function () {
    if (cpus().length < 2) this.skip();
  });

  let bed: GateSetup;
  beforeEach(async () => {
    bed = new GateSetup();
    await bed.ready();
  });
  afterEach(() => bed.close());

  /** From now on the function gets next to nothing. */
  const expectBack = async (what: string): Promise<void> => {
    const [fromMs, before] = [performance.now(), bed.usedMs()];
    await letTimePass(LOOK_MS);
    const most = BACK_MS + TICK_MS + OWN_SHARE * (performance.now() - fromMs);
    expect(bed.usedMs() - before, what).to.be.below(most);
  };

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
      await expectBack(`stop ${i}`);
      bed.host!.kill('SIGCONT');
    }
  });

  it('gives the core back when it is killed at any moment', async () => {
    for (let i = 0; i < ROUNDS / 5; i++) {
      const host = await bed.startHost();
      await bed.lent(1 + Math.random() * 5);
      const ended = once(host, 'exit');
      host.kill('SIGKILL');
      await expectBack(`kill ${i}`);
      await ended;
    }
  });
});
