import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { allCgroupMounts } from '../../src/linux/cgroup/mounts.js';
import { CGROUP_MOUNT_POINT } from '../../src/linux/cgroup/open.js';
import { guardianDone } from '../../src/nf/guardian.js';
import { busyboxLayer, writeLayout } from '../support/oci-images.js';
import { RealAgent } from '../support/real-agent.js';

/** runc makes its groups in every hierarchy; those that NEMO has no use for stayed, as did runc's own records. */
describe('an agent with containers that is killed with SIGKILL', function () {
  this.timeout(90_000);
  const agent = new RealAgent();
  after(() => agent.close());
  const groups = () =>
    allCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'), CGROUP_MOUNT_POINT)
      .map((mount) => `${mount}/${agent.name}`)
      .filter((path) => existsSync(path));
  const ofKilled = join(agent.folder, 'run', 'sandboxes', 'oci', 'of-killed');

  it('leaves no group in any hierarchy, and what is left is taken away when the next one starts', async () => {
    const image = join(agent.folder, 'greeter');
    const config = { Cmd: ['httpd', '-f', '-p', '80', '-h', '/'], ExposedPorts: { '80/tcp': {} } };
    writeLayout(image, { layers: [[...busyboxLayer(), { path: 'index.html', content: 'hello' }]], config });
    agent.configure({ policy: 'naive', imageDirs: [agent.folder] });
    await agent.start();
    expect((await agent.deploy('greeter', undefined, { engine: 'oci', image })).status).to.equal(201);
    expect(await (await agent.fetch('/function/greeter')).text()).to.equal('hello');
    expect(groups()).to.not.deep.equal([]);
    const { pid } = agent;
    await agent.end('SIGKILL');
    await guardianDone(pid);
    expect(groups()).to.deep.equal([]);

    // As one of before would have left them.
    const left = allCgroupMounts(readFileSync('/proc/self/mountinfo', 'utf8'), CGROUP_MOUNT_POINT)
      .filter((mount) => !/cpuset/.test(mount))
      .map((mount) => `${mount}/${agent.name}/sb-left`);
    for (const path of left) mkdirSync(path, { recursive: true });
    mkdirSync(ofKilled, { recursive: true });
    await agent.start();
    expect(left.filter((path) => existsSync(path))).to.deep.equal([]);
    expect(existsSync(ofKilled)).to.equal(false);
    await agent.end('SIGTERM');
    expect(groups()).to.deep.equal([]);
  });
});
