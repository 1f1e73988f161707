/** Boundary: the agent's disk. Attackers: whoever may deploy, and users of the box, who fill it. State is on a small disk. */

import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { run } from '../../src/host/packages.js';
import { startTicks } from '../../src/linux/process.js';
import { getScheduling, setProcessAffinity } from '../../src/linux/sched.js';
import type { NfInstance } from '../../src/model/nf-profile.js';
import { readSettings, settingsPath, writeSettings } from '../../src/nf/settings-journal.js';
import { SleepControls } from '../../src/nf/sleep-control.js';
import { STORAGE } from '../../src/tunables/index.js';
import { startVictim } from '../nf/victim.js';
import { RealAgent } from '../support/real-agent.js';
import { errorOf } from '../support/sandboxes.js';

const NF_CORE = 1;

async function mountSmallDisk(mb = 2): Promise<string> {
  const path = mkdtempSync('/var/tmp/nemo-full-');
  const mounted = await run('mount', ['-t', 'tmpfs', '-o', `size=${mb}m,mode=750`, 'nemo-full', path]);
  expect(mounted.exitCode, mounted.output).to.equal(0);
  return path;
}

async function unmount(path: string): Promise<void> {
  await run('umount', ['-l', path]);
  rmSync(path, { recursive: true, force: true });
}

/** Takes all that is left of a disk; returns what gives it back. */
async function fill(path: string): Promise<() => void> {
  const file = join(path, 'fill');
  await run('sh', ['-c', 'cat /dev/zero > "$1"', 'sh', file]);
  return () => rmSync(file);
}

describe('escape: a full disk', function () {
  this.timeout(180_000);
  let agent: RealAgent;
  let stateDir: string;
  beforeEach(async () => {
    // What is left to others, and a little.
    stateDir = await mountSmallDisk(STORAGE.diskFreeMinBytes / 2 ** 20 + 2);
    agent = await new RealAgent({ stateDir }).start();
  });
  afterEach(async () => {
    await agent.close();
    await unmount(stateDir);
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
      const made: string[] = [];
      let refused: Response | undefined;
      for (let i = 0; refused === undefined; i++) {
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
      // What was there before fits again.
      expect((await deploy(made[0]!)).status).to.equal(201);
      expect(await agent.call(made[0]!)).to.include({ status: 200 });
    });
  }
});

describe('escape: the first start on a full disk', () => {
  it('is told as STORAGE_FULL', async () => {
    const stateDir = await mountSmallDisk();
    const agent = new RealAgent({ stateDir });
    try {
      await fill(stateDir);
      const { message } = await errorOf(agent.start());
      expect(message).to.include('"code":"STORAGE_FULL"');
    } finally {
      await agent.close();
      await unmount(stateDir);
    }
  });
});

describe('escape: NFs beside a full /dev/shm', () => {
  const program = fileURLToPath(new URL('./support/reporting-nf.js', import.meta.url));
  // Every user of a box may fill the host's; here it is one of the program's own.
  const script = 'mount -t tmpfs -o size=64k nemo-full /dev/shm && exec "$@"';
  const runBeside = async (what: string, first = ':'): Promise<[number, string | undefined]> => {
    const inside = script.replace('&&', () => `&& ${first} &&`);
    const args = ['--mount', '--propagation', 'private', 'sh', '-c', inside, 'sh', process.execPath, program];
    const { exitCode, output } = await run('unshare', [...args, what]);
    return [exitCode, output.trim().split('\n').at(-1)];
  };

  for (const when of ['before they start', 'while they run'] as const) {
    it(`go on when it is filled ${when}`, async () => {
      expect(await runBeside(when)).to.deep.equal([0, 'goes on']);
    });
  }

  it('go on where something that cannot be replaced has the name of their report', async () => {
    const place = '/dev/shm/nemo-nf-$$.latency';
    const [exitCode, last] = await runBeside(
      'while they run',
      `mkdir ${place} && mount -t tmpfs nemo-place ${place}`,
    );
    expect([exitCode, last]).to.deep.equal([0, 'goes on']);
  });

  it('do not go through all that a user has put there before they start', async () => {
    const [exitCode, left] = await runBeside('many files');
    expect([exitCode, Number(left)]).to.satisfy(
      ([code, count]: [number, number]) => code === 0 && count > 5_000,
    );
  });
});

describe('escape: NFs beside a full disk', function () {
  this.timeout(90_000);
  let stateDir: string;
  beforeEach(async () => {
    stateDir = await mountSmallDisk();
  });
  afterEach(() => unmount(stateDir));

  it('have no function beside them while nothing can be written down, and are protected as soon as it can', async () => {
    const title = `nfd-${process.pid}`;
    const match = { args: `^${title}( |$)` };
    const agent = await new RealAgent({
      stateDir,
      cores: { functions: [NF_CORE], housekeeping: [0] },
      nfs: [{ profile: 'firewall', match }],
    }).start();
    try {
      const free = await fill(stateDir);
      const nf = await startVictim(title);
      try {
        setProcessAffinity(nf.pid, [NF_CORE]);
        await agent.until(({ nfs }) => /cannot be protected/.test(nfs[0]?.harvest?.why ?? ''));
        expect(getScheduling(nf.pid).policy).to.equal('other');
        free();
        await agent.until(({ nfs }) => nfs[0]?.harvest?.how === 'sleep');
        expect(getScheduling(nf.pid)).to.include({ policy: 'fifo', priority: 50 });
      } finally {
        await nf.end();
      }
    } finally {
      await agent.close();
    }
  });

  describe('that are asked to sleep', () => {
    const path = process.env.PATH;
    let dir: string;
    beforeEach(() => {
      dir = mkdtempSync('/var/tmp/nemo-full-ovs-');
      const vsctl = join(dir, 'ovs-vsctl');
      writeFileSync(vsctl, '#!/bin/sh\ncase "$*" in */late*) exit 1;; esac\n');
      chmodSync(vsctl, 0o755);
      process.env.PATH = `${dir}:${path}`;
    });
    afterEach(() => {
      process.env.PATH = path;
      rmSync(dir, { recursive: true });
    });

    it('are not asked before that is written down', async () => {
      const database = join(dir, 'db.sock');
      const sockets = [database, join(dir, 'nf.ctl')].map((at) =>
        createServer((socket) => socket.end('{"result":"ovs-vswitchd (Open vSwitch) 3.3.0"}')).listen(at),
      );
      await Promise.all(sockets.map((socket) => once(socket, 'listening')));
      const { pid } = process;
      const sleepControl = { kind: 'ovs-pmd-maxsleep', value: 100, database };
      const nf = { id: 'nf', pid, uid: 0, startTicks: startTicks(pid), profile: { sleepControl } };
      try {
        const controls = await SleepControls.start(stateDir);
        const free = await fill(stateDir);
        const refused = await controls.apply(nf as unknown as NfInstance);
        expect(refused.sleeps, refused.message).to.equal(false);
        free();
        const done = await controls.apply(nf as unknown as NfInstance);
        expect(done.sleeps, done.message).to.equal(true);
        expect(readSettings(settingsPath(stateDir))).to.deep.equal([
          { kind: 'ovs-pmd-maxsleep', database, oldValue: null },
        ]);
        await controls.close();
      } finally {
        for (const socket of sockets) socket.close();
      }
    });

    it('end nothing when they go', async () => {
      const late = { kind: 'ovs-pmd-maxsleep', database: join(dir, 'late'), oldValue: 0 } as const;
      writeSettings(settingsPath(stateDir), [late]);
      const controls = await SleepControls.start(stateDir);
      await fill(stateDir);
      await controls.release('nf');
      expect(readSettings(settingsPath(stateDir))).to.deep.equal([late]);
    });
  });
});
