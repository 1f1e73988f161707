/** Which cores the agent keeps to itself and which it lends: every way in which a configuration can say it, and not. */

import { expect } from 'chai';
import fc from 'fast-check';
import { resolveConfig } from '../../src/config/config.js';
import type { NemoError } from '../../src/model/errors.js';

interface Row {
  what: string;
  online: number[];
  chosen?: { functions?: number[]; housekeeping?: number[] };
  functions: number[];
  housekeeping: number[];
}

const ROWS: Row[] = [
  { what: 'one core does both', online: [0], functions: [0], housekeeping: [0] },
  {
    what: 'the lowest serves the agent, all others are lent',
    online: [0, 1, 2, 3],
    functions: [1, 2, 3],
    housekeeping: [0],
  },
  {
    what: 'the lowest that is online, whatever its number',
    online: [2, 5],
    functions: [5],
    housekeeping: [2],
  },
  {
    what: 'functions alone: the agent has the lowest other one',
    online: [0, 1, 2, 3],
    chosen: { functions: [0, 1] },
    functions: [0, 1],
    housekeeping: [2],
  },
  {
    what: 'functions on all: the agent has the lowest beside them',
    online: [0, 1],
    chosen: { functions: [0, 1] },
    functions: [0, 1],
    housekeeping: [0],
  },
  {
    what: 'housekeeping alone: all others are lent',
    online: [0, 1, 2, 3],
    chosen: { housekeeping: [2, 3] },
    functions: [0, 1],
    housekeeping: [2, 3],
  },
  {
    what: 'housekeeping on all: they are lent too',
    online: [0, 1],
    chosen: { housekeeping: [0, 1] },
    functions: [0, 1],
    housekeeping: [0, 1],
  },
  {
    what: 'both: what is in neither stays untouched',
    online: [0, 1, 2, 3],
    chosen: { functions: [3], housekeeping: [1] },
    functions: [3],
    housekeeping: [1],
  },
];

describe("the configuration's split of the cores", () => {
  for (const { what, online, chosen, functions, housekeeping } of ROWS) {
    it(what, () => {
      const config = resolveConfig(chosen === undefined ? {} : { cores: chosen }, online);
      expect(config).to.deep.include({ functionCores: functions, housekeepingCores: housekeeping });
    });
  }

  it('has a core for the agent and one for functions, all of them online, whatever is chosen among those', () => {
    const cores = fc
      .uniqueArray(fc.nat(63), { minLength: 1, maxLength: 8 })
      .map((all) => all.sort((a, b) => a - b));
    const chosen = cores.chain((online) =>
      fc.record({
        online: fc.constant(online),
        functions: fc.option(fc.subarray(online, { minLength: 1 }), { nil: undefined }),
        housekeeping: fc.option(fc.subarray(online, { minLength: 1 }), { nil: undefined }),
      }),
    );
    fc.assert(
      fc.property(chosen, ({ online, functions, housekeeping }) => {
        const given = {
          ...(functions === undefined ? {} : { functions }),
          ...(housekeeping === undefined ? {} : { housekeeping }),
        };
        const { functionCores, housekeepingCores } = resolveConfig({ cores: given }, online);
        expect(functionCores).to.not.have.length(0);
        expect(housekeepingCores).to.not.have.length(0);
        expect(online).to.include.members([...functionCores, ...housekeepingCores]);
        if (functions !== undefined) expect(functionCores).to.deep.equal(functions);
        if (housekeeping !== undefined) expect(housekeepingCores).to.deep.equal(housekeeping);
      }),
    );
  });

  it('names a core that is not there, and the key that asks for it', () => {
    for (const key of ['functions', 'housekeeping'] as const) {
      let error: NemoError | undefined;
      try {
        resolveConfig({ cores: { [key]: [7] } }, [0, 1]);
      } catch (thrown) {
        error = thrown as NemoError;
      }
      expect(error?.code).to.equal('NO_SUCH_CORE');
      expect(error?.message).to.include(`cores.${key}: core 7`);
    }
  });
});
