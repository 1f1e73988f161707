import { expect } from 'chai';
import { parseCgroupMounts } from '../../../src/linux/cgroup/mounts.js';

describe('cgroup mounts', () => {
  it('finds v1 controllers, mounted alone or together, and the hybrid v2 mount', () => {
    const mounts = parseCgroupMounts(
      [
        '30 23 0:27 / /sys/fs/cgroup ro,nosuid - tmpfs tmpfs ro,mode=755',
        '31 30 0:28 / /sys/fs/cgroup/unified rw shared:10 - cgroup2 cgroup2 rw,nsdelegate',
        '32 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:11 - cgroup cgroup rw,cpu,cpuacct',
        '33 30 0:30 / /sys/fs/cgroup/memory rw,relatime shared:12 - cgroup cgroup rw,memory',
      ].join('\n'),
      '/sys/fs/cgroup',
    );
    expect(mounts.v1.get('cpu')).to.equal('/sys/fs/cgroup/cpu,cpuacct');
    expect(mounts.v1.get('cpuacct')).to.equal('/sys/fs/cgroup/cpu,cpuacct');
    expect(mounts.v1.get('memory')).to.equal('/sys/fs/cgroup/memory');
    expect(mounts.v1.has('pids')).to.equal(false);
    expect(mounts.v2).to.equal('/sys/fs/cgroup/unified');
  });

  it('finds a pure v2 mount, and a delegated directory in it', () => {
    const line = '35 24 0:30 / /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate';
    expect(parseCgroupMounts(line, '/sys/fs/cgroup')).to.deep.equal({ v1: new Map(), v2: '/sys/fs/cgroup' });
    expect(parseCgroupMounts(line, '/sys/fs/cgroup/edge').v2).to.equal('/sys/fs/cgroup/edge');
  });

  it('passes over mounts elsewhere, and reads octal escapes', () => {
    const line = '35 24 0:30 / /mnt/a\\040b rw - cgroup2 cgroup2 rw';
    expect(parseCgroupMounts(line, '/sys/fs/cgroup').v2).to.equal(undefined);
    expect(parseCgroupMounts(line, '/mnt').v2).to.equal('/mnt/a b');
  });
});
