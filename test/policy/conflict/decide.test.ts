import { expect } from 'chai';
import fc from 'fast-check';
import type { CoreSnapshot, NfSample } from '../../../src/policy/conflict/core-snapshot.js';
import { isAcquitted, isUnmeetable, listens } from '../../../src/policy/conflict/decide.js';
import type { ConflictLevel } from '../../../src/policy/conflict/detect.js';
import { FROZEN, OFF } from '../../../src/policy/conflict/ladder.js';
import type { LadderRule } from '../../../src/policy/conflict/ladder-rule.js';
import { CONFLICT } from '../../../src/tunables/index.js';
import { nfSample, type Phase, suspect, TestCore } from './test-core.js';

/** Of 50 packets a tick, so many are late. */
const packets = (aboveSlo: number, packets = 50): Partial<NfSample> => ({ packets, aboveSlo });
const WELL: Phase = { nf: packets(0) };
const LATE: Phase = { nf: packets(2) };
const SEVERE: Phase = { nf: packets(50) };
const BURST: Phase = { nf: packets(500, 500) };
const WAITING: Phase = { nf: { ...packets(0), waitNs: 300_000, slices: 1 } };
const DROPPING: Phase = { nf: { ...packets(0), queueSign: 'packets dropped by interfaces' } };
const IDLE: Partial<CoreSnapshot> = { functionsRan: false };
const alone = (phase: Phase): Phase => ({ ...phase, ...IDLE });
const forMs = (ms: number, phase: Phase): Phase => ({ ...phase, ms });
const storming = (): ReturnType<typeof suspect> => suspect({ rates: Float64Array.of(0.4, 300_000, 0) });

/** One window in three is late though no function runs. */
function ownTrouble(core: TestCore, times: number): string[] {
  return Array.from({ length: times }).flatMap(() => [
    ...core.run(forMs(20, alone(SEVERE))),
    ...core.run(forMs(40, alone(WELL))),
  ]);
}

describe('what is decided about a core', () => {
  /** What happens, to a core of one NF with an SLO of 1 ms and one function that runs, and all changes that come of it. */
  const table: Array<[what: string, phases: Phase[], changes: string[], core?: Partial<CoreSnapshot>]> = [
    ['nothing while packets are in time', [forMs(500, WELL)], []],
    ['nothing about late packets when no function runs', [forMs(500, alone(SEVERE))], []],
    [
      'nothing about a stray late packet',
      [forMs(100, WELL), forMs(1, { nf: packets(1) }), forMs(9, WELL)],
      [],
    ],
    ['first sign, NF threads wait for their core', [WAITING], ['0>1 NF threads wait for their core']],
    [
      'first sign, something waits before the NF: says what',
      [DROPPING],
      ['0>1 packets dropped by interfaces'],
    ],
    ['a sign that lasts takes no more than the first level', [forMs(200, WAITING)], ['0>1']],
    ['waits of an NF whose core is lent on purpose: nothing', [forMs(50, { ...WAITING, lent: true })], []],
    [
      'a sign that ends: back after the hold',
      [WAITING, forMs(CONFLICT.holdMinMs + 1, WELL)],
      ['0>1', '1>0 calm'],
    ],
    [
      'a broken SLO: two levels down, with the share of late packets',
      [forMs(20, WELL), forMs(6, LATE)],
      ['0>2 1.2 % of packets above the SLO of 1000 us'],
    ],
    ['a broken SLO that goes on: down to frozen', [forMs(20, LATE)], ['0>2', '2>4']],
    ['a severe conflict: frozen at once', [SEVERE], ['0>4 100.0 % of packets above the SLO of 1000 us']],
    [
      'calm: back level by level, one hold each',
      [forMs(1_000, WELL), BURST, forMs(4 * CONFLICT.holdMinMs, WELL)],
      ['0>4', '4>3 calm', '3>2 calm', '2>1 calm', '1>0 calm'],
    ],
    [
      'trouble soon after a step up: the next hold is twice as long',
      [forMs(1_000, WELL), BURST, forMs(5, WELL), BURST, forMs(9, WELL)],
      ['0>4', '4>3 calm', '3>4'],
    ],
    [
      'still severe while frozen: functions leave the core, and come back past frozen when all is well',
      [SEVERE, forMs(CONFLICT.frozenMaxMs + 1, SEVERE), forMs(CONFLICT.holdMinMs, alone(WELL))],
      ['0>4', '4>5', '5>3 calm'],
    ],
    [
      'frozen for too long by rare packets that say nothing',
      [{ nf: packets(3, 3) }, forMs(CONFLICT.frozenMaxMs + 1, { nf: {}, ...IDLE })],
      ['0>4', '4>5 functions were frozen for too long'],
    ],
    [
      'broken, not severe, while frozen: functions leave the core all the same',
      [forMs(6 + CONFLICT.frozenMaxMs + 20, LATE)],
      ['0>2', '2>4', '4>5'],
    ],
    [
      'late without functions off the core too: stays off until the NF alone is well',
      [forMs(253, SEVERE), forMs(1_000, alone(SEVERE)), forMs(2_000, alone(WELL))],
      ['0>4', '4>5', '5>0 packets are as late without functions'],
    ],
    [
      'an NF that uses its whole core: starved functions are frozen, then leave it, and come back to spare time',
      [forMs(502, { ...WELL, nfRatio: 0.97 }), forMs(CONFLICT.holdMinMs, { ...alone(WELL), nfRatio: 0.5 })],
      ['0>4 the NF leaves nothing of its core', '4>5 the NF leaves nothing of its core', '5>3 calm'],
    ],
    [
      'an NF and others that use the whole core',
      [forMs(502, { ...WELL, nfRatio: 0.5, othersRatio: 0.5 })],
      ['0>4 the NF and other processes leave nothing of its core', '4>5'],
    ],
    [
      'others that leave a little: functions that left come back for more only',
      [
        forMs(502, { ...WELL, nfRatio: 0.5, othersRatio: 0.5 }),
        forMs(1_000, { ...alone(WELL), nfRatio: 0.5, othersRatio: 0.4 }),
        forMs(5, { ...alone(WELL), nfRatio: 0.5, othersRatio: 0.2 }),
      ],
      ['0>4', '4>5', '5>3 calm'],
    ],
    ['a full core that nobody waits for: nothing', [forMs(600, { ...alone(WELL), nfRatio: 1 })], []],
    [
      'late packets of a tick in which the loop itself woke late: the host is excused',
      [{ ...SEVERE, lateNs: 2e6 }],
      [],
    ],
    [
      'a second stall within the window is not excused',
      [
        { ...SEVERE, lateNs: 2e6 },
        { ...SEVERE, lateNs: 2e6 },
      ],
      ['0>4'],
    ],
    [
      'late packets of an NF that its own quota stopped: nothing',
      [forMs(50, { nf: { ...packets(50), stoppedByQuota: true } })],
      [],
    ],
    ['an NF without an SLO: nothing', [forMs(50, { nf: { ...packets(50), sloUs: 0 } })], []],
    [
      'an NF whose packets are not seen: only its waits tell',
      [forMs(50, { nf: {} }), { nf: { waitNs: 300_000, slices: 1 } }],
      ['0>1 NF threads wait for their core'],
    ],
    [
      'rare packets, three late ones in a row',
      [1, 2, 3].flatMap((): Phase[] => [{ nf: packets(1, 1) }, forMs(49, { nf: {} })]),
      ['0>4'],
    ],
    ['a ring of late packets between two ticks', [WELL, { ...SEVERE, ticks: 0 }], ['0>4']],
    ['a ring that tells of none', [WELL, { ...WELL, ticks: 0 }], []],
    ['a ring while no function runs', [alone(WELL), { ...alone(SEVERE), ticks: 0 }], []],
    [
      'a ring just after a stall of the host: of what it held up',
      [
        { ...SEVERE, lateNs: 2e6 },
        { ...SEVERE, ticks: 0, ms: 0.5 },
      ],
      [],
    ],
    [
      'of two functions the one that storms the kernel: it alone is frozen',
      [SEVERE],
      [
        'hold 1 100.0 % of packets above the SLO of 1000 us: 50 % of the CPU time, 100 % of the kernel time, 100 %',
      ],
      { functions: [suspect(), storming()] },
    ],
    [
      'the one that is held is no suspect: packets that are late still throttle the core',
      [SEVERE, SEVERE],
      ['hold 1', '0>4'],
      { functions: [suspect(), storming()] },
    ],
    ['two functions that are alike: the core', [SEVERE], ['0>4'], { functions: [suspect(), suspect()] }],
  ];
  for (const [what, phases, changes, over] of table) {
    it(what, () => {
      const core = new TestCore(over);
      const seen = phases.flatMap((phase) => core.run(phase));
      expect(seen).to.have.length(changes.length, seen.join('; '));
      for (const [i, change] of changes.entries()) expect(seen[i]!.slice(0, change.length)).to.equal(change);
    });
  }

  it('pauses all functions for a moment at each conflict, and says which ran', () => {
    const core = new TestCore({ functions: [suspect({ busy: false }), suspect()] });
    core.run(SEVERE);
    expect(core.last).to.deep.include({ kind: 'level', ran: [1] });
    expect(core.state.pausedUntilMs).to.equal(core.nowMs + CONFLICT.pauseMs);
    expect(core.state.conflicts).to.equal(1);
    const warned = new TestCore();
    warned.run(WAITING);
    expect([warned.state.conflicts, warned.state.pausedUntilMs]).to.deep.equal([0, 0]);
  });

  it('counts stalls of the host, also where nothing may be throttled', () => {
    const core = new TestCore();
    core.observe({ ...SEVERE, lateNs: 2e6 });
    expect(core.state.hostStalls).to.equal(1);
  });

  it('asks for counters only when it would choose between functions', () => {
    const wants = (phase: Phase, over: Partial<CoreSnapshot> = {}): boolean => {
      const core = new TestCore(over);
      core.run(phase);
      return core.askedForRates > 0;
    };
    const functions = (): ReturnType<typeof suspect>[] => [suspect(), suspect()];
    expect(wants(SEVERE, { functions: functions() })).to.equal(true);
    expect(wants(WELL, { functions: functions() })).to.equal(false);
    expect(wants(WAITING, { functions: functions() })).to.equal(false);
    expect(wants(SEVERE)).to.equal(false);
  });

  it('compares with windows without functions: only packets that are late beside them are theirs', () => {
    const theirs = new TestCore();
    theirs.run(forMs(600, alone(WELL)));
    expect(theirs.run(forMs(20, LATE))).to.have.length(2);
    const own = new TestCore();
    ownTrouble(own, 20);
    expect(isAcquitted(own.state)).to.equal(true);
    expect(own.run(forMs(20, LATE))).to.deep.equal([]);
    expect(listens(own.snapshot, own.state)).to.equal(false);
  });

  it('gives back all that it took as soon as the comparison acquits', () => {
    const core = new TestCore();
    core.run(forMs(260, SEVERE));
    expect(core.level).to.equal(OFF);
    const seen = ownTrouble(core, 20);
    expect(seen).to.deep.equal(['5>0 packets are as late without functions']);
  });

  it('says that an SLO is unmeetable when most windows off the core break it', () => {
    const core = new TestCore();
    core.run(forMs(253, SEVERE));
    expect(core.level).to.equal(OFF);
    core.run(forMs(600, alone(SEVERE)));
    expect([core.level, isUnmeetable(core.state)]).to.deep.equal([OFF, true]);
  });

  it('gives back when nobody is left whose packets could be late', () => {
    const core = new TestCore();
    core.run(SEVERE);
    core.setNfs([]);
    expect(core.run({})).to.deep.equal(['4>0 no NF with an SLO is on this core any more']);
    expect(core.run({})).to.deep.equal([]);
  });

  it('does what another ladder says, which it knows by its interface only', () => {
    const asked: Array<[ConflictLevel, number]> = [];
    const halves: LadderRule = {
      ...{ name: 'halves', about: 'half, or all of it' },
      initial: () => ({ level: 0 }),
      step(state, verdict, nowMs) {
        asked.push([verdict, nowMs]);
        state.level = verdict === 'calm' ? 0 : 2;
        return state.level;
      },
      release(state) {
        state.level = 0;
      },
    };
    const core = new TestCore({}, halves);
    expect([SEVERE, WELL].flatMap((phase) => core.run(phase))).to.deep.equal([
      '0>2 100.0 % of packets above the SLO of 1000 us',
      '2>0 calm',
    ]);
    expect(asked).to.deep.equal([
      ['severe', 1],
      ['calm', 2],
    ]);
  });

  it('keeps its promises whatever it sees, and decides the same of the same', () => {
    const share = fc.double({ min: 0, max: 1, noNaN: true });
    const phase = fc.record({
      ms: fc.integer({ min: 1, max: 300 }),
      nf: fc.record({
        packets: fc.integer({ min: 50, max: 60 }),
        aboveSlo: fc.constantFrom(0, 0, 0, 1, 3, 50),
        waitNs: fc.constantFrom(0, 1e6),
        slices: fc.integer({ min: 0, max: 3 }),
        stoppedByQuota: fc.boolean(),
      }),
      ...{ functionsRan: fc.boolean(), lent: fc.boolean(), outOfShare: fc.boolean() },
      ...{ nfRatio: share, othersRatio: share, lateNs: fc.constantFrom(0, 5e6) },
    });
    fc.assert(
      fc.property(fc.array(phase, { minLength: 1, maxLength: 12 }), (phases) => {
        const [core, twin] = [new TestCore(), new TestCore()];
        let frozenMs = 0;
        for (const one of phases) {
          for (let ms = 0; ms < one.ms; ms++) {
            const before = core.level;
            const tick = { ...one, ms: 1 };
            if (String(core.run(tick)) !== String(twin.run(tick))) expect.fail('a twin decides otherwise');
            const { last, level } = core;
            if (last.kind === 'level') expect([last.from, last.to]).to.deep.equal([before, level]);
            else if (level !== before) expect.fail('the level changed and nobody was told');
            // What was accepted has to finish.
            frozenMs = level === FROZEN ? frozenMs + 1 : 0;
            if (frozenMs > CONFLICT.frozenMaxMs + 1) expect.fail(`frozen for ${frozenMs} ms`);
          }
        }
      }),
      { numRuns: 100 },
    );
  });

  it('hands out one and the same object while nothing changes', () => {
    const core = new TestCore();
    core.run(WELL);
    const { last } = core;
    core.run(WELL);
    expect(core.last).to.equal(last);
  });

  it('knows several NFs of a core apart: one whose packets are all late is not hidden by a busy one', () => {
    const core = new TestCore();
    core.setNfs([
      nfSample({ id: 'busy', packets: 5_000 }),
      nfSample({ id: 'rare', packets: 3, aboveSlo: 3 }),
    ]);
    expect(core.run({})).to.deep.equal(['0>4 100.0 % of packets above the SLO of 1000 us']);
  });
});
