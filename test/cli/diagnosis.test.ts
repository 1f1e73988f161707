import { expect } from 'chai';
import { canRun, diagnose, type Finding } from '../../src/cli/diagnosis/diagnosis.js';
import { renderTable } from '../../src/cli/doctor.js';
import { type HostFacts, readHostFacts, requestsBinaryFormats } from '../../src/host/host.js';

describe('diagnosis of a host', () => {
  let here: HostFacts;

  before(async () => {
    here = await readHostFacts();
  });

  const find = (host: HostFacts, what: string): Finding => {
    const finding = diagnose(host).find((candidate) => candidate.what === what);
    if (finding === undefined) throw new Error(`no finding about ${what}`);
    return finding;
  };

  const without: Array<[what: string, essential: boolean, change: (host: HostFacts) => Partial<HostFacts>]> =
    [
      ['root', true, () => ({ root: false })],
      ['cores', true, (host) => ({ cores: host.cores.slice(0, 1) })],
      ['SCHED_IDLE', true, () => ({ scheduling: { idle: false, fifo: true } })],
      ['SCHED_FIFO', false, () => ({ scheduling: { idle: true, fifo: false } })],
      ['cgroups', true, () => ({ cgroup: { layout: 'none', missing: [], idle: false, refusal: 'EROFS' } })],
      ['cgroup memory', false, () => ({ cgroup: { layout: 'v2', missing: ['memory'], idle: true } })],
      ['cpu.idle groups', false, () => ({ cgroup: { layout: 'v1', missing: [], idle: false } })],
      [
        'thread groups',
        false,
        () => ({ autogroup: true, cgroup: { layout: 'v2', missing: ['cpu'], idle: true } }),
      ],
      ['packet sockets', true, () => ({ packetSocket: false })],
      ['ip', true, (host) => ({ programs: { ...host.programs, ip: null } })],
      [
        'bubblewrap',
        true,
        (host) => ({ bubblewrapWorks: false, programs: { ...host.programs, bwrap: null } }),
      ],
      ['run-queue delay', false, () => ({ counters: { softnet: true, runQueueDelay: false } })],
      ['packet backlog', false, () => ({ counters: { softnet: false, runQueueDelay: true } })],
      ["NFs' namespaces", false, () => ({ namespaceEntry: false })],
      ['whole cores', false, (host) => ({ cores: host.cores.map((core) => ({ ...core, siblings: [9] })) })],
      ['processor mitigations', false, () => ({ vulnerabilities: { mds: 'Vulnerable: no microcode' } })],
      ['core scheduling', false, () => ({ coreScheduling: 'unsupported' })],
      ['unknown formats', false, () => ({ binfmtRequests: true })],
      ['epoll watches', false, () => ({ epollWatchesMax: 5_000_000 })],
      ['out-of-memory scores', false, () => ({ sysResource: false })],
      ['memory kept for NFs', false, () => ({ memoryMin: false })],
      ['resctrl', false, () => ({ resctrl: 'available' })],
      ['pressure (PSI)', false, () => ({ pressure: false })],
      ['redis', false, () => ({ redis: false })],
      ['user namespaces', false, () => ({ userNamespaces: false })],
    ];

  for (const [what, essential, change] of without) {
    it(`${essential ? 'refuses' : 'goes on'} without ${what}, and says what is lost and the way out`, () => {
      const host = { ...here, ...change(here) };
      const finding = find(host, what);
      expect(finding.state).not.to.equal('ok');
      expect(finding.lost).to.be.a('string').and.not.equal('');
      expect(finding.wayOut).to.be.a('string').and.not.equal('');
      expect(canRun([finding])).to.equal(!essential);
      const table = renderTable(host, diagnose(host), false);
      expect(table).to.contain(finding.wayOut);
      if (essential) expect(table).to.match(new RegExp(`cannot run here without:.*${what}`));
    });
  }

  it('knows the kernels that ask modprobe for a program of an unknown format', () => {
    const modprobe = '/sbin/modprobe';
    const asks = ['5.10.0-28-amd64', '6.1.0', '6.14.7-arch1'].map((kernel) =>
      requestsBinaryFormats(kernel, modprobe),
    );
    expect(asks).to.deep.equal([true, true, true]);
    for (const kernel of ['6.15.0', '7.0.1']) expect(requestsBinaryFormats(kernel, modprobe)).to.equal(false);
    expect(requestsBinaryFormats('6.1.0', '')).to.equal(false);
  });

  it('names the package for a program that is not there', () => {
    const programs = { ...here.programs, ip: null };
    expect(find({ ...here, programs }, 'ip').wayOut).to.match(/apt-get install .*iproute2/);
  });

  it('tells a bubblewrap that cannot work from one that is not installed', () => {
    const blocked = {
      ...here,
      bubblewrapWorks: false,
      programs: { ...here.programs, bwrap: '/usr/bin/bwrap' },
    };
    expect(find(blocked, 'bubblewrap').wayOut).not.to.contain('apt-get');
  });
});
