/** An image that umoci made and skopeo copied, in the forms that they write: deployed and called. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ensurePackages } from '../../../src/host/packages.js';
import { nemo, RealAgent } from '../../support/real-agent.js';
import { output } from '../run-client.js';

const MAKE = `set -e; cd "$1"
umoci init --layout made && umoci new --image made:web
umoci unpack --image made:web bundle
mkdir -p bundle/rootfs/bin bundle/rootfs/www
cp "$(command -v busybox)" bundle/rootfs/bin/busybox && ln -s busybox bundle/rootfs/bin/httpd
umoci repack --image made:web bundle
printf 'from umoci' > page
umoci insert --image made:web page /www/index.html
umoci config --image made:web --config.cmd httpd --config.cmd -f --config.cmd -p --config.cmd 80 --config.cmd -h \\
  --config.cmd /www --config.exposedports 80/tcp --config.env PATH=/bin
skopeo copy --insecure-policy oci:made:web oci:copied:web
skopeo copy --insecure-policy oci:made:web docker-archive:docker.tar:web:latest
skopeo copy --insecure-policy oci:made:web oci-archive:oci.tar:web
skopeo copy --insecure-policy --dest-compress-format zstd oci:made:web oci:zstd:web`;

describe('clients: images of umoci and skopeo', function () {
  this.timeout(180_000);
  const folder = mkdtempSync(join(tmpdir(), 'nemo-images-'));
  const agent = new RealAgent({ policy: 'naive' });
  before(async () => {
    await ensurePackages(['umoci', 'skopeo', 'busybox-static', 'runc']);
    await output('sh', ['-c', MAKE, 'sh', folder]);
    await agent.start();
  });
  after(async () => {
    await agent.close();
    rmSync(folder, { recursive: true, force: true });
  });

  for (const image of ['made', 'copied', 'docker.tar', 'oci.tar', 'zstd'])
    it(image, async () => {
      const name = image.replace('.', '-');
      const args = [join(folder, image), '--name', name, '--engine', 'oci', '--agent', agent.url];
      const deployed = await nemo(['deploy', ...args]);
      expect(deployed.code, deployed.err).to.equal(0);
      const reply = await agent.fetch(`/function/${name}/index.html`);
      expect([reply.status, await reply.text()]).to.deep.equal([200, 'from umoci']);
    });
});
