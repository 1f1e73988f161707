import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { ResctrlGroup, schemataFor } from '../../src/linux/resctrl.js';
import { runIn } from '../support/in-cgroup.js';

const INTEL = '    MB:0=100;1=100\n    L3:0=7ff;1=7ff\n';
const AMD = 'MB:0=2048\nL3:0=ffff\n';

/** No host with resctrl was at hand: the kernel's files are files in a folder here, and what is written to them is seen. */
describe('resctrl', () => {
  let root: string;
  beforeEach(() => {
    root = mkdtempSync(join(tmpdir(), 'nemo-resctrl-'));
    writeFileSync(join(root, 'schemata'), INTEL);
  });
  afterEach(() => rmSync(root, { recursive: true }));

  it('asks for the lowest ways in one run, and for a share of the bandwidth', () => {
    expect(schemataFor(INTEL, { cacheShare: 0.25, bandwidthShare: 0.3 }, 1)).to.deep.equal([
      'L3:0=7;1=7',
      'MB:0=30;1=30',
    ]);
    expect(schemataFor(AMD, { cacheShare: 0.5, bandwidthShare: 0.5 }, 1)).to.deep.equal([
      'L3:0=ff',
      'MB:0=1024',
    ]);
    expect(schemataFor('L3CODE:0=ff\nL3DATA:0=ff', { cacheShare: 1 }, 1)).to.deep.equal([
      'L3CODE:0=ff',
      'L3DATA:0=ff',
    ]);
  });

  it('never asks for fewer ways than the hardware can give', () => {
    expect(schemataFor(INTEL, { cacheShare: 0.01 }, 2)).to.deep.equal(['L3:0=3;1=3']);
    expect(schemataFor(INTEL, { bandwidthShare: 0.001 }, 2)).to.deep.equal(['MB:0=1;1=1']);
  });

  it('says what the hardware cannot limit, and where resctrl is not mounted', () => {
    expect(() => schemataFor('L3:0=ff', { bandwidthShare: 0.5 }, 1)).to.throw(
      /cannot limit memory bandwidth/,
    );
    expect(() => ResctrlGroup.open('x', { cacheShare: 0.5 }, join(root, 'nowhere')))
      .to.throw(/not mounted/)
      .with.property('code', 'UNSUPPORTED');
  });

  it('limits its group and no other, and goes', () => {
    const group = ResctrlGroup.open('nemo-test', { cacheShare: 0.5 }, root);
    expect(readFileSync(join(group.path, 'schemata'), 'latin1')).to.equal('L3:0=3f;1=3f\n');
    expect(readFileSync(join(root, 'schemata'), 'latin1')).to.equal(INTEL);
    // The kernel's files go with their folder.
    rmSync(join(group.path, 'schemata'));
    group.remove();
    group.remove();
    expect(() => readFileSync(group.path)).to.throw('ENOENT');
  });

  it('is joined by every sandbox, with its cgroups', async () => {
    mkdirSync(join(root, 'group'));
    const tasks = join(root, 'group', 'tasks');
    writeFileSync(tasks, '');
    const driver = openCgroupDriver({
      rootName: `nemo-resctrl-${process.pid}`,
      idle: false,
      alsoJoin: [tasks],
    });
    try {
      const group = driver.create('one', {});
      expect(group.joinPaths).to.include(tasks);
      await runIn(group, 'true');
      expect(readFileSync(tasks, 'latin1').trim()).to.match(/^\d+$/);
    } finally {
      await driver.removeAll();
    }
  });
});
