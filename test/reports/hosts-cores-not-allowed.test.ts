/** Started where not all online cores are allowed: a bare EINVAL, groups left in six hierarchies, and wrong advice. */

import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { diagnose } from '../../src/cli/diagnosis/diagnosis.js';
import { resolveConfig } from '../../src/config/config.js';
import { type HostFacts, readHostFacts } from '../../src/host/host.js';
import {
  type AllowedCores,
  allowedCores,
  leftInCpuset,
  requireCore,
  requireTwoCores,
} from '../../src/linux/allowed-cores.js';
import type { NemoError } from '../../src/model/errors.js';

/** As in a cpuset that has only core 0 of four. */
const IN_CPUSET: AllowedCores = {
  cores: [0],
  byDefault: [0],
  limits: [
    { allows: [0, 1, 2, 3], why: 'it is not online', wayOut: 'bring it online' },
    {
      allows: [0],
      why: 'the cpuset /x, in which this process runs, has cores 0',
      wayOut: 'add it to /x/cpuset.cpus',
    },
  ],
};

const thrown = (act: () => unknown): NemoError => {
  try {
    act();
  } catch (error) {
    return error as NemoError;
  }
  return expect.fail('nothing was thrown');
};

describe('report: cores that are online and not allowed', () => {
  it('the error names the key, the core, the cpuset and the way out', () => {
    const error = thrown(() => resolveConfig({ cores: { functions: [2] } }, IN_CPUSET));
    expect(error.code).to.equal('NO_SUCH_CORE');
    expect(error.message).to.equal(
      'cores.functions: core 2 cannot be used: the cpuset /x, in which this process runs, has cores 0',
    );
    expect(error.hint).to.equal('choose among cores 0, or add it to /x/cpuset.cpus');
    expect(thrown(() => requireCore(7, IN_CPUSET)).message).to.include('it is not online');
  });

  it('defaults are chosen among those that are allowed', () => {
    expect(resolveConfig({}, IN_CPUSET)).to.deep.include({ functionCores: [0], housekeepingCores: [0] });
    const three = { ...IN_CPUSET, cores: [1, 2, 3], byDefault: [1, 3], limits: [] };
    expect(resolveConfig({}, three)).to.deep.include({ functionCores: [3], housekeepingCores: [1] });
    const chosen = resolveConfig({ cores: { functions: [1] } }, three);
    expect(chosen).to.deep.include({ functionCores: [1], housekeepingCores: [3] });
  });

  it('the demo and the bench say why they have no two cores', () => {
    const error = thrown(() => requireTwoCores('the demo', IN_CPUSET));
    expect(error.code).to.equal('UNSUPPORTED');
    expect(error.message).to.include('the demo needs two cores').and.include('the cpuset /x');
    expect(error.hint).to.equal('add it to /x/cpuset.cpus');
  });

  it('a group next to exclusive cpusets takes what they leave, and says when that is nothing', () => {
    const top = mkdtempSync(join(tmpdir(), 'nemo-cpuset-'));
    const write = (group: string, files: Record<string, string>) => {
      mkdirSync(join(top, group), { recursive: true });
      for (const [file, text] of Object.entries(files))
        writeFileSync(join(top, group, `cpuset.${file}`), text);
    };
    try {
      write('', { cpus: '0-3\n', mems: '0\n' });
      write('theirs', { cpus: '2-3\n', cpu_exclusive: '1\n', mems: '0\n', mem_exclusive: '0\n' });
      write('shared', { cpus: '0-1\n', cpu_exclusive: '0\n', mems: '0\n', mem_exclusive: '0\n' });
      write('nemo', { cpus: '\n', cpu_exclusive: '1\n', mems: '\n', mem_exclusive: '0\n' });
      expect(leftInCpuset(top, 'nemo', 'cpuset.cpus')).to.deep.equal([0, 1]);
      expect(leftInCpuset(top, 'nemo', 'cpuset.mems')).to.deep.equal([0]);
      write('shared', { cpu_exclusive: '1\n' });
      const error = thrown(() => leftInCpuset(top, 'nemo', 'cpuset.cpus'));
      expect(error.code).to.equal('NO_SUCH_CORE');
      expect(error.message).to.include(`${top}/theirs`);
      expect(error.hint).to.include('cpuset.cpu_exclusive');
    } finally {
      rmSync(top, { recursive: true });
    }
  });

  it('the doctor names what keeps the cores, and does not advise to mount what is mounted', async () => {
    const here = await readHostFacts();
    expect(here.allowed!.cores).to.deep.equal(allowedCores().cores);
    const find = (host: HostFacts, what: string) => diagnose(host).find((one) => one.what === what)!;
    const cores = [0, 1, 2, 3].map((id) => ({ ...here.cores[0]!, id, online: true }));
    const finding = find({ ...here, cores, allowed: IN_CPUSET }, 'cores');
    expect(finding).to.include({ state: 'missing', wayOut: 'add it to /x/cpuset.cpus' });
    expect(finding.detail).to.include('an agent may use 0: the cpuset /x');
    const refused = {
      ...here,
      cgroup: {
        layout: 'none',
        missing: ['memory'],
        idle: false,
        refusal: 'all cores belong',
        wayOut: 'write 0',
      },
    } satisfies HostFacts;
    expect(find(refused, 'cgroups')).to.include({ detail: 'all cores belong', wayOut: 'write 0' });
    expect(find(refused, 'cgroup memory').wayOut).to.not.include('mount');
  });
});
