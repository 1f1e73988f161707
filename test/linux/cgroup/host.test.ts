import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { openCgroupDriver } from '../../../src/linux/cgroup/open.js';
import { CGROUP_CHECKS, runCheck } from '../../support/cgroup-checks.js';

describe("cgroup driver on this host's cgroups", () => {
  const context = { open: openCgroupDriver, rootName: `nemo-cgtest-${process.pid}` };

  for (const check of CGROUP_CHECKS) it(check.title, () => runCheck(check, context));

  it('leaves no group and no mount behind', () => {
    const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
    expect(mounts).not.to.contain(context.rootName);
    const driver = openCgroupDriver({ ...context, rootName: `${context.rootName}-look`, idle: true });
    return driver.removeAll();
  });
});
