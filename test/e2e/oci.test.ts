import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { busyboxLayer, writeLayout } from '../support/oci-images.js';
import { nemo, RealAgent } from '../support/real-agent.js';

describe('an image deployed to an agent', function () {
  this.timeout(90_000);
  // At default scheduling: beside a busy machine's other work an idle container starts when it likes.
  const agent = new RealAgent({ policy: 'naive' });
  const image = join(agent.folder, 'greeter');
  before(async () => {
    const config = { Cmd: ['httpd', '-f', '-p', '80', '-h', '/www'], ExposedPorts: { '80/tcp': {} } };
    writeLayout(image, {
      layers: [busyboxLayer(), [{ path: 'www/index.html', content: 'from an image' }]],
      config,
    });
    await agent.start();
  });
  after(() => agent.close());

  it('is called after a kill -9 of the agent too, which leaves no mount', async () => {
    const at = ['--agent', agent.url];
    const deployed = await nemo(['deploy', image, '--engine', 'oci', ...at]);
    expect(deployed.err).to.equal('');
    expect(deployed.out).to.contain('deployed greeter (engine oci');
    const called = await nemo(['invoke', 'greeter', ...at]);
    expect(called.out, called.err).to.contain('from an image');
    await agent.end('SIGKILL');
    expect(readFileSync('/proc/mounts', 'utf8')).to.not.contain(agent.folder);
    await agent.start();
    expect((await nemo(['invoke', 'greeter', '--agent', agent.url])).out).to.contain('from an image');
    expect((await nemo(['rm', 'greeter', '--agent', agent.url])).code).to.equal(0);
  });

  it('is refused where it is plain that it cannot run', async () => {
    const broken = join(agent.folder, 'broken');
    writeLayout(broken, { layers: [busyboxLayer()], config: {} });
    const refused = await nemo(['deploy', broken, '--engine', 'oci', '--agent', agent.url]);
    expect([refused.code === 0, refused.err.includes('no entry point')]).to.deep.equal([false, true]);
  });
});
