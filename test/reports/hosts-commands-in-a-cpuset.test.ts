/** The demo, the bench and a reference NF that cannot start: in a cpuset with one core, without their interfaces, port or core. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readlinkSync, rmdirSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { listPids, processStat } from '../../src/linux/process.js';
import { CLI } from '../support/real-agent.js';

const CPUSET = '/sys/fs/cgroup/cpuset';
const CAPTURE = fileURLToPath(new URL('../../../data/openNetVM-64B_download.pcap', import.meta.url));

/** Network namespaces of the processes that a command started, processes of its own, and shared memory. */
function left(group: number): string[] {
  const pids = listPids().filter((pid) => processStat(pid)?.parentPid === group);
  const reports = readdirSync('/dev/shm').filter((name) => name.includes(`${group}`));
  return [...pids.map((pid) => `process ${pid}, ${readlinkSync(`/proc/${pid}/ns/net`)}`), ...reports];
}

describe('report: commands where not all cores are allowed', function () {
  this.timeout(60_000);
  const group = `${CPUSET}/nemo-report-${process.pid}`;
  before(function () {
    if (!existsSync(`${CPUSET}/cpuset.cpus`)) return this.skip();
    mkdirSync(group);
    writeFileSync(`${group}/cpuset.mems`, '0');
    writeFileSync(`${group}/cpuset.cpus`, '0');
  });
  after(() => {
    if (existsSync(group)) rmdirSync(group);
  });

  async function told(args: string[], restricted: boolean): Promise<string> {
    const join = restricted ? `echo $$ > ${group}/cgroup.procs; ` : '';
    const child = spawn('/bin/sh', ['-c', `${join}exec "$@"`, 'sh', process.execPath, CLI, ...args]);
    let err = '';
    child.stderr.on('data', (text) => (err += text));
    child.stdout.resume();
    const [code] = await once(child, 'close');
    expect(code, err).to.be.oneOf([1, 2]);
    expect(left(child.pid!)).to.deep.equal([]);
    return err;
  }

  const ONE_CORE = /needs two cores.*the cpuset \/nemo-report-\d+, in which this process runs, has cores 0/;
  for (const [what, args, says, restricted = true] of [
    ['the demo', ['demo', '--seconds', '1', '--port', '0'], ONE_CORE],
    ['the bench', ['bench', '--set', 'quick'], ONE_CORE],
    [
      'an NF on a core that it may not use',
      ['nf', 'run', 'firewall', '--capture', CAPTURE, '--cpu', '1'],
      /core 1 cannot be used: the cpuset \/nemo-report/,
    ],
    [
      'an NF without its interfaces',
      ['nf', 'run', 'firewall', '--in', 'nope0', '--out', 'nope1'],
      /nope0/,
      false,
    ],
  ] as Array<[string, string[], RegExp, boolean?]>) {
    it(`${what} says why, and leaves nothing`, async () => {
      expect(await told(args, restricted)).to.match(says);
    });
  }

  it('the demo says that its port is busy, and leaves nothing', async () => {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const port = String((server.address() as AddressInfo).port);
    try {
      expect(await told(['demo', '--seconds', '1', '--port', port], false)).to.include('PORT_IN_USE');
    } finally {
      server.close();
    }
  });
});
