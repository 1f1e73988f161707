/** The rows of policies differ in what their names say, and `static` splits the core in time as told. */

import { expect } from 'chai';
import { launchCommand } from '../../../src/confinement/launch.js';
import { NemoError } from '../../../src/model/errors.js';
import { type BoxPolicy, POLICY_NAMES, policyByName } from '../../../src/policy/harvest/policies.js';
import { isFunctionsShare } from '../../../src/policy/harvest/time-share.js';

/** The switches in which two policies differ. */
function differences(one: string, other: string): string[] {
  const [a, b] = [policyByName(one), policyByName(other)];
  return (Object.keys(a) as Array<keyof BoxPolicy>).filter(
    (key) => key !== 'name' && key !== 'about' && a[key] !== b[key],
  );
}

describe('box policies', () => {
  for (const [one, other, switches] of [
    ['nemo', 'nemo-no-conflict', ['conflict']],
    ['nemo', 'nemo-no-predict', ['predict']],
    ['naive', 'idle', ['scheduling']],
    ['naive', 'nice19', ['scheduling']],
    ['naive', 'quota', ['capRatio']],
    ['naive', 'static', ['shareRatio']],
  ] as Array<[string, string, string[]]>) {
    it(`${other} is ${one} but for ${switches.join()}`, () =>
      expect(differences(one, other)).to.deep.equal(switches));
  }

  it('names the policies there are to whoever asks for another', () => {
    expect(() => policyByName('nemo2')).to.throw(NemoError, 'no policy is called "nemo2"');
    expect(POLICY_NAMES).to.include.members(['nemo', 'naive', 'idle', 'nice19', 'quota', 'static']);
  });

  for (const [nowMs, share, turn] of [
    [0, 0.5, true],
    [9.9, 0.5, true],
    [10, 0.5, false],
    [19.9, 0.5, false],
    [20, 0.5, true],
    [1_000_015, 0.8, true],
    [1_000_017, 0.8, false],
    [17, null, true],
  ] as Array<[number, number | null, boolean]>) {
    it(`at ${nowMs} ms, with a share of ${share}, functions ${turn ? 'run' : 'are frozen'}`, () =>
      expect(isFunctionsShare(nowMs, share)).to.equal(turn));
  }

  for (const [scheduling, words] of [
    ['idle', 'chrt -i 0'],
    ['nice', 'nice -n 19'],
    ['default', 'setpriv'],
  ] as const) {
    it(`starts sandboxes of ${scheduling} scheduling by ${words}`, () => {
      const runtime = { binds: [], seccompPath: 'f', nodeInside: 'n', runnerInside: 'r' };
      const line = launchCommand(
        { uid: 1, joinPaths: [], scheduling, directory: '/', runtime: runtime as never },
        [],
      ).join(' ');
      expect(line).to.match(new RegExp(`--sigpending=\\d+:\\d+ ${words}`));
    });
  }
});
