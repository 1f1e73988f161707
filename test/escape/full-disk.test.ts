/** Boundary: the agent's disk. Attacker: whoever may deploy, and fills it. A real agent, whose state is on a small disk. */

import { mkdtempSync, rmSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { run } from '../../src/host/packages.js';
import { RealAgent } from '../support/real-agent.js';

/** Of the disk, when it is full. */
const LEFT_BYTES = 1_500_000;

describe('escape: a full disk', function () {
  this.timeout(180_000);
  let agent: RealAgent;
  let disk: string;
  beforeEach(async () => {
    disk = mkdtempSync('/var/tmp/nemo-full-');
    expect(
      (await run('mount', ['-t', 'tmpfs', '-o', 'size=68m,mode=755', 'nemo-full', disk])).exitCode,
    ).to.equal(0);
    agent = await new RealAgent({ stateDir: join(disk, 'state') }).start();
  });
  afterEach(async () => {
    await agent.close();
    await run('umount', ['-l', disk]);
    rmSync(disk, { recursive: true, force: true });
  });

  for (const [what, deploy] of [
    [
      'environments, which are in the store',
      (name: string) => agent.deploy(name, 'export default () => 1;', { env: { FILL: 'x'.repeat(60_000) } }),
    ],
    [
      'code, which is in files',
      (name: string) => agent.deploy(name, `export default () => '${name}${'y'.repeat(200_000)}';`),
    ],
  ] as ReadonlyArray<[string, (name: string) => Promise<Response>]>) {
    it(`is told as 507 and ends nothing when it is full of ${what}`, async () => {
      const made = ['f0'];
      expect((await deploy('f0')).status).to.equal(201);
      // Somebody else takes what the agent leaves free for others.
      const { bavail, bsize } = statfsSync(disk);
      const filler = join(disk, 'filler');
      const filled = await run('fallocate', ['-l', `${bavail * bsize - LEFT_BYTES}`, filler]);
      expect(filled.exitCode, filled.output).to.equal(0);
      let refused: Response | undefined;
      for (let i = 1; refused === undefined; i++) {
        const name = `f${i}`;
        const answer = await deploy(name);
        if (answer.status === 201) made.push(name);
        else refused = answer;
      }
      const { error } = (await refused.json()) as { error: { code: string; message: string } };
      expect([refused.status, error.code], error.message).to.deep.equal([507, 'STORAGE_FULL']);
      // Again, because what is broken once may stay so.
      expect((await deploy('again')).status).to.equal(507);
      expect(await agent.call(made[0]!)).to.include({ status: 200 });
      for (const name of made) {
        expect((await agent.fetch(`/v1/functions/${name}`, { method: 'DELETE' })).status).to.equal(204);
      }
      rmSync(filler);
      // What was there before fits again.
      expect((await deploy(made[0]!)).status).to.equal(201);
      expect(await agent.call(made[0]!)).to.include({ status: 200 });
    });
  }
});
