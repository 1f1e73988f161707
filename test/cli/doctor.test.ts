import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { promisify } from 'node:util';
import { expect } from 'chai';

const execute = promisify(execFile);
const COMMANDER = import.meta.resolve('commander');
const DOCTOR = new URL('../../src/cli/doctor.js', import.meta.url).href;
const PROGRAM = `
  import { Command } from '${COMMANDER}';
  import { register } from '${DOCTOR}';
  const program = new Command('nemo');
  register(program);
  await program.parseAsync(process.argv.slice(1), { from: 'user' });`;

const nemo = (...args: string[]) =>
  execute(process.execPath, ['--input-type=module', '-e', PROGRAM, '--', ...args]);

describe('nemo doctor', () => {
  it('prints facts and findings of this host as JSON', async () => {
    const { stdout } = await nemo('doctor', '--json');
    const report = JSON.parse(stdout);
    expect(report.schema).to.equal('nemo.doctor/1');
    expect(report.host.root).to.equal(true);
    expect(report.host.cores.filter((core: { online: boolean }) => core.online)).to.have.length.at.least(
      availableParallelism(),
    );
    expect(report.host.cgroup.layout).to.be.oneOf(['v1', 'hybrid', 'v2']);
    expect(report.host.scheduling.idle).to.equal(true);
    expect(report.ok).to.equal(true);
  });

  it('prints a table for people', async () => {
    const { stdout } = await nemo('doctor');
    expect(stdout).to.match(/^ok {8}root/m);
    expect(stdout).to.contain('NEMO can run here.');
  });

  it('says nothing when asked to be quiet and nothing is in the way', async () => {
    const { stdout, stderr } = await nemo('doctor', '--install', '--quiet');
    expect(stdout + stderr.replace(/^\(node.*\n?/gm, '')).to.equal('');
  });

  it('shows an example in its help', async () => {
    expect((await nemo('doctor', '--help')).stdout).to.contain('nemo doctor --install');
  });
});
