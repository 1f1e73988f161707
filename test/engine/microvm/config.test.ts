import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { type AgentConfig, readConfig, resolveConfig } from '../../../src/config/config.js';
import { asNemoError } from '../../../src/model/errors.js';
import { SNAPSHOT } from '../../../src/tunables/index.js';

describe('virtual machines in the configuration', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nemo-config-'));
  const file = join(folder, 'nemo.yaml');
  after(() => rmSync(folder, { recursive: true }));
  const microvm = (yaml: string): AgentConfig['microvm'] => {
    writeFileSync(file, `microvm:\n  ${yaml}\n`);
    return resolveConfig(readConfig(file), [0, 1]).microvm;
  };

  it('takes an accelerator, a kernel and the budgets of snapshots, and has defaults for each', () => {
    expect(
      microvm('{ accelerator: tcg, kernel: /boot/k, snapshots: { memory: 1Gi, disk: 2Gi } }'),
    ).to.deep.equal({
      accelerator: 'tcg',
      kernel: '/boot/k',
      stores: [
        { path: 'memory', budgetBytes: 2 ** 30 },
        { path: 'state', budgetBytes: 2 ** 31 },
      ],
    });
    const { memoryMaxBytes, diskMaxBytes } = SNAPSHOT;
    expect(microvm('{}')).to.deep.equal({
      accelerator: 'auto',
      kernel: undefined,
      stores: [
        { path: 'memory', budgetBytes: memoryMaxBytes },
        { path: 'state', budgetBytes: diskMaxBytes },
      ],
    });
  });

  it('takes the stores to spread snapshots over', () => {
    const stores = '[{ path: /mnt/fast/, budget: 1Gi }, { path: state, budget: 2Gi }]';
    expect(microvm(`snapshots: { stores: ${stores} }`).stores).to.deep.equal([
      { path: '/mnt/fast/', budgetBytes: 2 ** 30 },
      { path: 'state', budgetBytes: 2 ** 31 },
    ]);
  });

  const wrong: Array<[string, RegExp]> = [
    ['accelerator: xen', /nemo\.yaml:2:16: microvm\.accelerator must be one of auto, kvm, tcg$/],
    ['kernel: vmlinuz', /nemo\.yaml:2:11: microvm\.kernel /],
    ['snapshots: { memory: lots }', /nemo\.yaml:2:24: microvm\.snapshots\.memory must be like 2Gi/],
    ['snapshots: { disk: -1 }', /nemo\.yaml:2:22: microvm\.snapshots\.disk /],
    ['snapshots: { tape: 1Gi }', /nemo\.yaml:2:16: unknown key "tape"/],
    [
      'snapshots: { stores: [{ path: fast, budget: 1Gi }] }',
      /nemo\.yaml:2:33: .*path must be memory, state, or a/,
    ],
    ['snapshots: { stores: [{ path: state }] }', /"microvm\.snapshots\.stores\.0\.budget" is missing/],
    ['snapshots: { stores: [] }', /none of the stores is a directory/],
    ['snapshots: { stores: [{ path: memory, budget: 1Gi }] }', /none of the stores is a directory/],
    ['snapshots: { memory: 1Gi, stores: [{ path: state, budget: 1Gi }] }', /exclude each other/],
    [
      'snapshots: { stores: [{ path: /a, budget: 1Gi }, { path: /b/../a/, budget: 1Gi }] }',
      /\/a\/ is named twice/,
    ],
    ['cpus: 2', /nemo\.yaml:2:3: unknown key "cpus"/],
  ];
  for (const [yaml, message] of wrong) {
    it(`says where "${yaml}" is wrong`, () => {
      try {
        microvm(yaml);
      } catch (thrown) {
        const error = asNemoError(thrown);
        expect(error.code).to.equal('BAD_CONFIG');
        expect(error.message).to.match(message);
        return;
      }
      expect.fail('it was taken');
    });
  }
});
