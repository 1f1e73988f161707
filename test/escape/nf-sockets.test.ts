/**
 * What strangers put where an NF's own sockets, reports and settings are looked for: telemetry of somebody else, reports in
 * the NF's name, arguments and journals that want to become commands.
 */

import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import fc from 'fast-check';
import { startTicks } from '../../src/linux/process.js';
import { endProcess } from '../../src/linux/tied-process.js';
import { LatencyBuckets } from '../../src/model/latency-buckets.js';
import type { NfInstance, NfProfile } from '../../src/model/nf-profile.js';
import { Guardian } from '../../src/nf/guardian.js';
import { openLatencySource } from '../../src/nf/latency/open.js';
import { parseSettings, readSettings, settingsPath, undoArgs } from '../../src/nf/settings-journal.js';
import { SleepControls } from '../../src/nf/sleep-control.js';
import { DpdkTelemetry } from '../../src/nf/telemetry/dpdk.js';
import { OvsTelemetry } from '../../src/nf/telemetry/ovs.js';
import { SharedLatencyWriter, sharedLatencyPath } from '../../src/packet/shared-latency.js';
import { FUZZ_TIMEOUT_MS, fuzz } from '../support/fuzz.js';

const NOBODY = 65534;
const DPDK_PROGRAM = fileURLToPath(new URL('../nf/programs/telemetry-socket.js', import.meta.url));
const REUSED_NF = fileURLToPath(new URL('./support/reused-nf-child.js', import.meta.url));
/** Answers whatever it is asked as an Open vSwitch 3.1 would that has nothing to do. */
const OVS_PROGRAM = `
  const answer = { id: 1, error: null, result: 'pmd thread numa_id 0 core_id 1:\\n  packets received: 1\\n' };
  require('node:net').createServer((socket) => socket.on('data', () => socket.write(JSON.stringify(answer))))
    .listen(process.argv[1], () => console.log('listens'));`;

describe('what strangers say in the name of an NF', () => {
  let folder: string;
  const ends: Array<() => Promise<void> | void> = [];
  beforeEach(() => {
    folder = mkdtempSync('/var/tmp/nemo-strangers-');
    chmodSync(folder, 0o777);
  });
  afterEach(async () => {
    for (const end of ends.splice(0)) await end();
    rmSync(folder, { recursive: true });
  });

  const serve = async (args: string[], uid: number): Promise<number> => {
    const child = spawn(process.execPath, args, { uid, stdio: ['ignore', 'pipe', 'inherit'] });
    ends.push(() => endProcess(child));
    await once(child.stdout!, 'data');
    return child.pid!;
  };

  for (const [kind, args, open] of [
    [
      'DPDK',
      (path: string) => [DPDK_PROGRAM, path, 'behaves'],
      (pid: number, uid: number, path: string) => new DpdkTelemetry(pid, uid, path),
    ],
    [
      'Open vSwitch',
      (path: string) => ['-e', OVS_PROGRAM, path],
      (pid: number, uid: number, path: string) => new OvsTelemetry(pid, uid, path),
    ],
  ] as const) {
    it(`telemetry of ${kind} is heard from the NF’s user and from root, from nobody else`, async () => {
      const path = join(folder, 'nobodys.sock');
      const pid = await serve(args(path), NOBODY);
      const asked = (uid: number) => {
        const adapter = open(pid, uid, path);
        try {
          return adapter.read();
        } finally {
          adapter.close();
        }
      };
      expect(() => asked(0))
        .to.throw(new RegExp(`belongs to user ${NOBODY}`))
        .with.property('code', 'BAD_TELEMETRY');
      expect(asked(NOBODY).packets).to.be.greaterThan(0);
    });
  }

  it('a report is believed from the NF’s user and from root, from nobody else', () => {
    const writer = SharedLatencyWriter.create();
    ends.push(() => writer.close());
    chownSync(writer.path, NOBODY, 0);
    const fault = (uid: number) => {
      const source = openLatencySource({ kind: 'reported', pid: process.pid, uid });
      source.close();
      return source.fault;
    };
    expect(fault(0)).to.match(new RegExp(`belongs to user ${NOBODY}, not to root`));
    expect(fault(NOBODY)).to.equal(undefined);
  });

  it('folders in place of reports keep no NF from reporting', () => {
    // Above the largest pid that there can be.
    const dead = 2 ** 22 + process.pid;
    const squatted = [sharedLatencyPath(process.pid), sharedLatencyPath(dead)];
    const before = new Set(readdirSync('/dev/shm'));
    try {
      for (const path of squatted) {
        mkdirSync(path);
        chownSync(path, NOBODY, NOBODY);
      }
      const writer = SharedLatencyWriter.create();
      const source = openLatencySource({ kind: 'reported', pid: process.pid });
      expect(source.fault).to.equal(undefined);
      writer.buckets.record(3);
      expect(source.sample(new LatencyBuckets())).to.equal(1);
      source.close();
      writer.close();
    } finally {
      for (const name of readdirSync('/dev/shm')) {
        if (!before.has(name) && /^(nemo-nf|not-a-report)-/.test(name))
          rmSync(join('/dev/shm', name), { recursive: true });
      }
    }
  });

  it('what got the pid of an NF is neither probed nor listened to in its place', async function () {
    this.timeout(60_000);
    const { stdout } = await promisify(execFile)(
      'unshare',
      ['--pid', '--fork', '--mount-proc', '--kill-child', process.execPath, REUSED_NF],
      { timeout: 50_000 },
    );
    expect(JSON.parse(stdout)).to.deep.equal({
      probe: 'NOT_FOUND',
      tap: 'NOT_FOUND',
      answered: true,
      asked: 'NOT_FOUND',
    });
  });

  it('arguments of an Open vSwitch reach no command and no journal', async () => {
    // What was there to answer for the database that the arguments name; it would say what it was asked.
    const asked = join(folder, 'asked');
    writeFileSync(join(folder, 'ovs-vsctl'), `#!/bin/sh\necho "$*" >> ${asked}\n`, { mode: 0o755 });
    const path = process.env.PATH;
    process.env.PATH = `${folder}:${path}`;
    ends.push(() => {
      process.env.PATH = path;
    });
    const database = join(folder, 'db.sock');
    await serve(['-e', OVS_PROGRAM, database], 0);
    for (const argument of [
      `unix:/x\ntouch ${folder}/marker\n`,
      `unix:/x;touch ${folder}/marker`,
      `unix:$(touch ${folder}/marker)`,
      `unix:${folder}/other.sock`,
    ]) {
      const child = spawn('/bin/sh', ['-c', 'echo there; read x', argument, argument], { stdio: 'pipe' });
      ends.push(() => endProcess(child));
      await once(child.stdout!, 'data');
      const controls = await SleepControls.start(folder);
      const report = await controls.apply(openVswitch(child.pid!, database));
      expect(report.sleeps).to.equal(false);
      expect(report.message).to.equal(
        `it uses another database than ${database}: name the path of its socket as sleepControl: database`,
      );
      await controls.close();
    }
    expect(existsSync(asked)).to.equal(false);
    expect(existsSync(settingsPath(folder))).to.equal(false);
    expect(existsSync(join(folder, 'marker'))).to.equal(false);
  });

  it('a database where others could put their own is not asked', async () => {
    const database = join(folder, 'db.sock');
    await serve(['-e', OVS_PROGRAM, database], 0);
    const controls = await SleepControls.start(folder);
    const { sleeps, message } = await controls.apply(openVswitch(process.pid, database));
    expect(sleeps).to.equal(false);
    expect(message).to.equal(`others than root may write "${folder}"`);
  });

  it('a journal of settings makes the guardian run nothing but its own command', async () => {
    const marker = join(folder, 'marker');
    const hostile = [
      `touch ${marker}`,
      `{"kind":"ovs-pmd-maxsleep","database":"/x;touch ${marker}","oldValue":null}`,
      `{"kind":"ovs-pmd-maxsleep","database":"/$(touch ${marker})","oldValue":null}`,
      `{"kind":"ovs-pmd-maxsleep","database":"/x","oldValue":"0 ; touch ${marker}"}`,
      `{"kind":"ovs-pmd-maxsleep","database":"/x","oldValue":0x10}`,
      `{"kind":"run","database":"/x","oldValue":null}; touch ${marker}`,
      '*',
      '-n',
    ];
    const settings = settingsPath(folder);
    writeFileSync(settings, `{"agent":${process.pid},"settings":[\n${hostile.join(',\n')}\n]}\n`);
    expect(readSettings(settings)).to.deep.equal([]);
    const guardian = await Guardian.watch({ journal: join(folder, 'none.json'), settings });
    await guardian.close();
    expect(existsSync(settings)).to.equal(false);
    expect(existsSync(marker)).to.equal(false);
  });

  it('hostile messages in a journal of settings become no argument but a path and a number', function () {
    this.timeout(FUZZ_TIMEOUT_MS);
    const record = fc.record({
      kind: fc.oneof(fc.constant('ovs-pmd-maxsleep'), fc.string()),
      database: fc.oneof(
        fc.constant('/run/db.sock'),
        fc.string(),
        fc.string().map((text) => `/${text}`),
      ),
      oldValue: fc.oneof(fc.constant(null), fc.integer(), fc.string(), fc.double()),
    });
    const text = fc.oneof(
      fc.string(),
      record.map((one) => JSON.stringify(one)),
      fc.tuple(record, fc.string()).map(([one, more]) => JSON.stringify(one) + more),
    );
    fuzz(
      fc.array(text).map((lines) => lines.join('\n')),
      (journal) =>
        parseSettings(journal).every((one) => {
          const [wait, limit, database, ...undo] = undoArgs(one);
          return (
            wait === '--no-wait' &&
            limit === '--timeout=3' &&
            /^--db=unix:\/[A-Za-z0-9_./-]+$/.test(database!) &&
            /^(remove Open_vSwitch \. other_config pmd-maxsleep|set Open_vSwitch \. other_config:pmd-maxsleep=\d+)$/.test(
              undo.join(' '),
            )
          );
        }),
    );
  });
});

function openVswitch(pid: number, database: string): NfInstance {
  const profile: NfProfile = {
    name: 'ovs-vswitchd',
    title: 'Open vSwitch',
    match: { process: '^sh$' },
    mode: 'poll',
    sloP99Us: 500,
    latency: { source: 'none' },
    protection: { kind: 'none' },
    sleepControl: { kind: 'ovs-pmd-maxsleep', value: 100, database },
    harvest: true,
  };
  const ticks = startTicks(pid)!;
  return { id: `ovs-vswitchd-${pid}`, profile, pid, startTicks: ticks, uid: 0, threads: [], cores: [1] };
}
