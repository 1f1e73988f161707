/** One small run of the whole bench as its users run it, and its resumption. Nothing is expected of how fast anything is. */

import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { BenchReport } from '../../bench/types.js';

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

function bench(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [CLI, 'bench', ...args], (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), stdout, stderr }),
    );
  });
}

describe('nemo bench', function () {
  this.timeout(90_000);
  let folder: string;
  before(function () {
    if (cpus().length < 2) this.skip();
    folder = mkdtempSync(join(tmpdir(), 'nemo-bench-run-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  it('measures policies on an NF, writes what it found, and resumes only what is missing', async () => {
    const file = join(folder, 'small.json');
    const args = ['--scenario', 'firewall/5k/steady/cpu1/closed', '--policies', 'solo,static,nemo'];
    const run = () => bench(...args, '--rounds', '1', '--seconds', '0.5', '--resume', file);
    const read = () => JSON.parse(readFileSync(file, 'utf8')) as BenchReport;

    const first = await run();
    expect(first.code, first.stderr).to.equal(0);
    expect(first.stdout).to.include('| nemo |');
    const report = read();
    expect(report).to.include({ schema: 'nemo.bench/2' }).and.not.have.property('partial');
    const { scenario, rounds, summary } = report.scenarios[0]!;
    expect(scenario).to.include({ name: args[1], packetsPerS: 5_000, mode: 'sleep', seconds: 0.5 });
    expect(rounds.map(({ policy }) => policy)).to.deep.equal(['solo', 'static', 'nemo']);
    expect(Object.keys(summary)).to.deep.equal(['solo', 'static', 'nemo']);
    for (const { policy, nf, core, functions, timeline } of rounds) {
      expect(nf.sent).to.be.greaterThan(500);
      // On a machine that is busy elsewhere, all packets of so short a round may come too late to count.
      if (nf.received > 0) expect(nf.latency_cdf!.at(-1)![1]).to.equal(1);
      expect(nf.latency_cdf!.length).to.be.at.most(60);
      expect(core.nf_us).to.be.within(1, core.wall_us);
      if (policy === 'solo') expect(functions.completed).to.equal(0);
      else {
        expect(functions.failed, functions.first_error).to.equal(0);
        expect(timeline!.nf_ratio).to.have.length(timeline!.throttle_level.length);
      }
    }
    // The gateway's p99 is not judged: only that functions ran at all under NEMO.
    expect(rounds[2]!.functions.completed).to.be.greaterThan(0);

    const kept = {
      ...report,
      scenarios: report.scenarios.map((one) => ({ ...one, rounds: one.rounds.slice(1) })),
    };
    writeFileSync(file, JSON.stringify(kept));
    const second = await run();
    expect(second.code, second.stderr).to.equal(0);
    const again = read().scenarios[0]!.rounds;
    expect(again.slice(0, 2)).to.deep.equal(rounds.slice(1));
    expect(again.map(({ policy }) => policy)).to.deep.equal(['static', 'nemo', 'solo']);
  });

  it('lists what there is, and refuses what there is not by name', async () => {
    const { stdout } = await bench('--list');
    expect(stdout).to.match(/^full +\d+ scenarios, about +\d+ min/m);
    const wrong = await bench('--scenario', 'firewall/50/steady/cpu6/closed');
    expect(wrong.code).to.equal(1);
    expect(wrong.stderr).to.include('the function "cpu6" is not known');
  });
});
