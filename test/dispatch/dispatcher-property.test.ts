/** Whatever happens in whatever order, a call has one outcome, and a throttled core gets nothing. */

import { expect } from 'chai';
import { Core } from '../../src/model/board.js';
import { NemoError } from '../../src/model/errors.js';
import { Random } from '../../src/packet/random.js';
import { LADDER, OFF } from '../../src/policy/conflict/ladder.js';
import { InProcessBox, type Outcome, settled } from './in-process-box.js';

const NAMES = ['a', 'b', 'c'];
const STEPS = 4_000;

for (const seed of [1, 2, 3]) {
  describe(`the dispatcher under chance (seed ${seed})`, () => {
    it(`gives every call one outcome in ${STEPS} steps of deaths, changes and throttling`, async () => {
      const chances = new Random(seed);
      const random = (): number => chances.u32() / 2 ** 32;
      const pick = <T>(list: readonly T[]): T | undefined => list[Math.floor(random() * list.length)];
      const box = new InProcessBox({
        functionCores: [1, 2],
        prewarm: { policy: 'fixed', stems: 1, warmPerFunction: 1 },
      });
      const wrong: string[] = [];
      box.onInvoke = (sandbox, request) => {
        const { core } = sandbox;
        if (core !== 0 && box.board.get(core, Core.budgetRunning) === 0) {
          wrong.push(`call ${request.callId} on throttled core ${core}`);
        }
        if (!sandbox.code!.startsWith(request.ref.key)) wrong.push('another function ran it');
      };
      const deploy = (name: string): void =>
        box.deploy(name, {
          concurrency: 1 + Math.floor(random() * 3),
          codeHash: `${name}-${Math.floor(random() * 1000)}`,
        });
      for (const name of NAMES) deploy(name);
      const calls: Outcome[] = [];
      const busy = () => box.live.filter((sandbox) => sandbox.calls.length > 0);
      const answerOne = (): void => {
        const sandbox = pick(busy());
        if (sandbox === undefined) return;
        const index = Math.floor(random() * Math.min(sandbox.concurrency, sandbox.calls.length));
        if (random() < 0.1) sandbox.fail(index);
        else sandbox.answer(index);
      };
      const throttle = (level: number): void => {
        const core = pick([1, 2])!;
        const budget = Math.ceil(LADDER[level]!.runningFactor);
        box.throttle(core, level, budget);
        box.dispatcher.coreChanged(core, LADDER[level]!.offCore);
      };

      for (let i = 0; i < STEPS; i++) {
        const chance = random();
        if (chance < 0.25) {
          const call = box.call(pick(NAMES)!);
          if (random() < 0.05) call.gone = true;
          calls.push(call);
        } else if (chance < 0.6) answerOne();
        else if (chance < 0.62) pick(box.live)?.die();
        else if (chance < 0.63) deploy(pick(NAMES)!);
        else if (chance < 0.635) box.dispatcher.setFunction(pick(NAMES)!, undefined);
        else if (chance < 0.66) throttle(Math.floor(random() * (OFF + 1)));
        else if (chance < 0.665) {
          const code = pick(['SANDBOX_START', 'NO_CAPACITY'] as const)!;
          box.startErrors.push(new NemoError(code, 'chance'));
        } else if (chance < 0.675) {
          const instance = pick([...box.pool.instances.values()].filter((one) => one.idle));
          if (instance !== undefined) void box.pool.end(instance);
        } else if (chance < 0.75) box.planner.tick();
        else await new Promise((resolve) => setImmediate(resolve));
      }
      expect(wrong).to.deep.equal([]);

      box.startErrors.length = 0;
      for (const core of [1, 2]) {
        box.throttle(core, 0, 1);
        box.dispatcher.coreChanged(core, false);
      }
      const open = () => calls.filter((call) => call.outcomes.length === 0).length;
      for (let i = 0; i < 20_000 && open() > 0; i++) {
        answerOne();
        // A back-off after a failed start passes in real time.
        if (busy().length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
      }
      expect(calls.filter((call) => call.outcomes.length !== 1)).to.deep.equal([]);
      expect(box.inside()).to.deep.equal([]);
      const answered = calls.filter((call) => call.outcomes[0] === 'answered').length;
      expect(answered).to.be.greaterThan(100);

      await box.close();
      await settled();
      expect(box.pool.instances.size).to.equal(0);
      expect(box.slots.size).to.equal(0);
    });
  });
}
