/** What may be resumed, and which rounds do not count. */

import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { noiseOf } from '../../bench/noise.js';
import { readResumable, writeReport } from '../../bench/report-file.js';
import { BENCH_SCHEMA, type BenchReport } from '../../bench/types.js';
import { NemoError } from '../../src/model/errors.js';

describe('the report of a bench on disk', () => {
  let folder: string;
  let file: string;
  const report: BenchReport = {
    schema: BENCH_SCHEMA,
    command: 'nemo bench --set quick',
    commit: 'abc',
    startedAt: '2026-01-01T00:00:00Z',
    finishedAt: null,
    host: {},
    scenarios: [],
  };
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-bench-'));
    file = join(folder, 'r.json');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is there as a whole, and alone, and comes back', () => {
    writeReport(file, report);
    writeReport(file, report);
    expect(readdirSync(folder)).to.deep.equal(['r.json']);
    expect(readResumable(file, report.command, 'abc')).to.deep.equal(report);
  });

  it('without a file there is nothing to resume', () =>
    expect(readResumable(file, 'x', null)).to.equal(undefined));

  for (const [what, command, commit] of [
    ['command', 'nemo bench --set full', 'abc'],
    ['commit', 'nemo bench --set quick', 'def'],
  ] as const) {
    it(`refuses that of another ${what}`, () => {
      writeReport(file, report);
      expect(() => readResumable(file, command, commit)).to.throw(NemoError, `its ${what} is`);
    });
  }

  it('refuses what is no report', () => {
    writeFileSync(file, '{"schema":');
    expect(() => readResumable(file, 'x', null)).to.throw(NemoError, 'it is not JSON');
    writeFileSync(file, '{"schema":"nemo.bench/1"}');
    expect(() => readResumable(file, 'x', null)).to.throw(NemoError, 'its schema is nemo.bench/1');
  });
});

describe('noise of a round', () => {
  const core = { wall_us: 1e6, nf_us: 3e5, function_us: 6e5, spare_us: 7e5, other_us: 1e4, stolen_us: 0 };
  const quiet = { core, host_noise_p99_us: 60 };
  for (const [what, round, notSent, why] of [
    ['a quiet round', quiet, 0, undefined],
    [
      'one whose core others used',
      { ...quiet, core: { ...core, other_us: 2e5 } },
      0,
      'other programs used 20.0 %',
    ],
    [
      'one whose core the host took',
      { ...quiet, core: { ...core, stolen_us: 5e4 } },
      0,
      'the host took 5.0 %',
    ],
    [
      'one in which a real-time thread woke late',
      { ...quiet, host_noise_p99_us: 4_000 },
      0,
      'woke 4000 us late',
    ],
    ['one of a generator that fell behind', quiet, 0.1, 'could not send 10.0 %'],
    [
      'one of a kernel that does not say',
      { ...quiet, core: { wall_us: 1e6, nf_us: 0, function_us: 0, spare_us: 0 } },
      0,
      undefined,
    ],
  ] as Array<[string, Parameters<typeof noiseOf>[0], number, string | undefined]>) {
    it(`${what}: ${why ?? 'none'}`, () => {
      const said = noiseOf(round, notSent);
      if (why === undefined) expect(said).to.equal(undefined);
      else expect(said).to.include(why);
    });
  }
});
