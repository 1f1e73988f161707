/** Boundary: the agent's rooms. What dies, or stands still, while a sandbox is started; full disks at a first start. */

import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { ProcessSandbox } from '../../src/engine/process/sandbox.js';
import { spawnPiped } from '../../src/linux/spawn-piped.js';
import { OciBench } from '../support/oci-bench.js';
import { busyboxLayer, writeLayout } from '../support/oci-images.js';
import { RealAgent } from '../support/real-agent.js';
import { call, errorOf, SandboxBench } from '../support/sandboxes.js';

describe('escape: starts of sandboxes', function () {
  this.timeout(60_000);

  it('ends a sandbox whose first process stands still before it is in its group', async () => {
    const bench = new SandboxBench();
    try {
      const cgroup = bench.driver.create('still', { memoryMaxBytes: 2 ** 26, pidsMax: 8 });
      const child = spawnPiped('sleep', ['1000'], { cwd: '/' });
      child.kill('SIGSTOP');
      const directory = mkdtempSync(join(bench.directory, 'still-'));
      const options = { id: 'still', cgroup, scheduling: 'default', onLog: () => {} } as const;
      const sandbox = new ProcessSandbox(options, child, directory, 65_000);
      expect(await errorOf(sandbox.ready(10))).to.include({ code: 'SANDBOX_START' });
      expect(await sandbox.exited).to.include({ cause: 'killed' });
    } finally {
      await bench.close();
    }
  });

  it('starts sandboxes when there is room again, also where the first start found none', async () => {
    const process = new SandboxBench('isolate');
    const container = new OciBench();
    const directory = join(container.directory, 'run');
    try {
      const file = join(process.directory, 'sandboxes');
      writeFileSync(file, 'in the way');
      await process.run('export default () => 7').catch(() => undefined);
      rmSync(file);
      expect((await call(await process.run('export default () => 7'))).body.toString()).to.equal('7');

      const folder = join(container.directory, 'image');
      writeLayout(folder, { layers: [busyboxLayer()], config: { Cmd: ['/bin/sh'] } });
      mkdirSync(directory);
      execFileSync('mount', ['-t', 'tmpfs', 'nemo-test', directory]);
      await container.deploy({ image: folder }).catch(() => undefined);
      execFileSync('umount', [directory]);
      expect(await container.deploy({ image: folder })).to.be.a('string');
    } finally {
      await process.close();
      await container.close();
    }
  });

  it('answers callers, and all others, where no sandbox can be made of what is stored', async () => {
    const folder = mkdtempSync('/var/tmp/nemo-test-images-');
    const agent = new RealAgent({ imageDirs: [folder], pool: { prewarm: 'none' } });
    try {
      chmodSync(folder, 0o755);
      writeLayout(folder, { layers: [busyboxLayer()], config: { Cmd: ['/bin/httpd', '-f', '-p', '8080'] } });
      await agent.start();
      expect((await agent.deploy('image', undefined, { image: folder, engine: 'oci' })).status).to.equal(201);
      const bundles = join(agent.folder, 'state', 'bundles');
      const plan = join(bundles, readdirSync(bundles).find((name) => name.endsWith('.image'))!);
      writeFileSync(plan, readFileSync(plan, 'utf8').replace('nemo.image/1', 'nemo.image/0'));
      expect(await agent.call('image')).to.include({ status: 503, code: 'SANDBOX_START' });
      expect((await agent.deploy('other', 'export default () => 7')).status).to.equal(201);
      expect(await agent.call('other')).to.include({ status: 200, body: '7' });
    } finally {
      await agent.end('SIGKILL');
      await agent.close();
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
