import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { connect, createNamespace, type Namespace } from '../../src/linux/netns.js';
import { getAffinity } from '../../src/linux/sched.js';
import { buildFrame } from '../../src/packet/build.js';
import { sharedLatencyPath, sweepSharedLatency } from '../../src/packet/shared-latency.js';
import { writePcap } from '../packet/write-pcap.js';

const PROGRAM = fileURLToPath(new URL('../packet/programs/nemo-nf.js', import.meta.url));

describe('nemo nf run', () => {
  let namespace: Namespace;
  let folder: string;

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-nf-run-'));
    namespace = await createNamespace();
    await connect(namespace, 'in0', namespace, 'in1');
    await connect(namespace, 'out0', namespace, 'out1');
  });
  afterEach(async () => {
    await namespace.close();
    rmSync(folder, { recursive: true });
    sweepSharedLatency();
  });

  const start = (...args: string[]): ChildProcess =>
    namespace.spawn(process.execPath, [PROGRAM, 'nf', 'run', ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  const lines = (child: ChildProcess) => createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const nextJson = async (from: AsyncIterator<string>) => JSON.parse((await from.next()).value);

  it('says when it is ready, bears its name, stays on its core, and ends on SIGTERM', async () => {
    const child = start('router', '--in', 'in0', '--out', 'out0', '--cpu', '1', '--stats', '--json');
    const output = lines(child);
    const ready = await nextJson(output);
    expect(ready).to.deep.equal({
      ready: true,
      pid: child.pid,
      profile: 'router',
      in: 'in0',
      out: 'out0',
      mode: 'sleep',
    });
    expect(readFileSync(`/proc/${child.pid}/cmdline`, 'latin1')).to.match(/^nemo-nf-router/);
    expect(getAffinity(child.pid!)).to.deep.equal([1]);
    expect(existsSync(sharedLatencyPath(child.pid!))).to.equal(true);
    expect(await nextJson(output)).to.deep.include({ forwarded: [0, 0], missed: [0, 0] });
    child.kill('SIGTERM');
    const [, signal] = await once(child, 'exit');
    expect(signal).to.equal('SIGTERM');
  });

  it('reads its configuration from YAML', async () => {
    const config = join(folder, 'firewall.yaml');
    writeFileSync(config, 'rules:\n  - action: deny\n    protocol: udp\n');
    const child = start('firewall', '--in', 'in0', '--out', 'out0', '--config', config);
    expect((await lines(child).next()).value).to.match(
      /^firewall forwards between in0 and out0 \(pid \d+, sleep mode\)$/,
    );
    child.kill('SIGKILL');
    await once(child, 'exit');
  });

  it('replays a capture of the user through the NF, in a test bed of its own', async () => {
    const capture = join(folder, 'mine.pcap');
    const udp = { protocol: 'udp', source: '10.0.0.1', destination: '10.0.0.2' } as const;
    writeFileSync(
      capture,
      writePcap([
        [0, buildFrame(udp)],
        [500, buildFrame({ ...udp, sourcePort: 7 })],
      ]),
    );
    const child = spawn(process.execPath, [
      PROGRAM,
      'nf',
      'run',
      'firewall',
      '--capture',
      capture,
      '--json',
      '--stats',
      '--packets',
      '500',
    ]);
    const output = lines(child);
    expect(await nextJson(output)).to.deep.include({
      ready: true,
      profile: 'firewall',
      capture,
      mode: 'sleep',
    });
    const report = await nextJson(output);
    expect(report.sent).to.be.greaterThan(0);
    expect(report.received).to.equal(report.sent);
    child.kill('SIGINT');
    const [code] = await once(child, 'exit');
    expect(code).to.equal(0);
  });

  it('tells each mistake by its code', async () => {
    const broken = join(folder, 'broken.yaml');
    writeFileSync(broken, 'rules: [');
    const strangers = join(folder, 'strangers.yaml');
    writeFileSync(strangers, '{}');
    chmodSync(strangers, 0o666);
    const cases: Array<[code: string, ...args: string[]]> = [
      ['NO_SUCH_INTERFACE', 'router', '--in', 'nope0', '--out', 'out0'],
      ['NO_SUCH_CORE', 'router', '--in', 'in0', '--out', 'out0', '--cpu', '4095'],
      ['NOT_FOUND', 'absent', '--in', 'in0', '--out', 'out0'],
      ['NOT_FOUND', 'router', '--in', 'in0', '--out', 'out0', '--config', '/absent.yaml'],
      ['BAD_CONFIG', 'router', '--in', 'in0', '--out', 'out0', '--config', broken],
      ['BAD_CONFIG', 'router', '--in', 'in0', '--out', 'out0', '--config', strangers],
      ['NOT_FOUND', 'router', '--capture', '/absent.pcap'],
      ['BAD_CAPTURE', 'router', '--capture', broken],
      ['BAD_CONFIG', 'router', '--in', 'in0', '--out', 'out0', '--capture', broken],
    ];
    const answers = await Promise.all(cases.map(([, ...args]) => nextJson(lines(start(...args)))));
    expect(answers.map(({ error }) => error.code)).to.deep.equal(cases.map(([code]) => code));
  });
});
