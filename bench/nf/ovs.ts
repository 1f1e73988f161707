/** Open vSwitch with its DPDK datapath between n0 and n1, in a run directory and with huge pages of its own. */

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RunningNf, StartNf } from '../../src/lab/testbed.js';
import { runCommand } from '../../src/linux/tied-process.js';
import type { ExplicitNf } from '../../src/model/nf-profile-schema.js';
import { startProgram } from './programs.js';

const VSWITCHD = '/usr/lib/openvswitch-switch-dpdk/ovs-vswitchd-dpdk';
const HUGE_PAGES = '/proc/sys/vm/nr_hugepages';
/** Of 2 MB: 512 MB of packet memory, and what DPDK's heap asks for beside it. */
const PAGES = 600;

export class Ovs implements RunningNf {
  private constructor(
    private readonly folder: string,
    private readonly pagesBefore: string,
    private readonly programs: RunningNf[],
  ) {}

  get pid(): number {
    return this.programs.at(-1)!.pid;
  }

  get ended(): RunningNf['ended'] {
    return this.programs.at(-1)!.ended;
  }

  /** Its database is not where Debian's package has it, and an agent asks no process where that is. */
  get config(): { nfs: ExplicitNf[] } {
    const sleepControl = {
      kind: 'ovs-pmd-maxsleep',
      value: 100,
      database: `${this.folder}/db.sock`,
    } as const;
    return { nfs: [{ profile: 'ovs-vswitchd', overrides: { sleepControl } }] };
  }

  /** Runs ovs-vsctl; resolves with its output. */
  vsctl(...args: string[]): Promise<string> {
    return runCommand('ovs-vsctl', ['--timeout=20', `--db=unix:${this.folder}/db.sock`, ...args]);
  }

  static async start({ namespace, cpu }: Parameters<StartNf>[0]): Promise<Ovs> {
    const folder = mkdtempSync(join(tmpdir(), 'nemo-ovs-'));
    const pagesBefore = readFileSync(HUGE_PAGES, 'latin1').trim();
    const ovs = new Ovs(folder, pagesBefore, []);
    try {
      writeFileSync(HUGE_PAGES, String(PAGES));
      await runCommand('mkdir', [join(folder, 'huge')]);
      await runCommand('mount', ['-t', 'hugetlbfs', 'none', join(folder, 'huge')]);
      const env = { OVS_RUNDIR: folder, OVS_LOGDIR: folder, OVS_DBDIR: folder };
      const schema = '/usr/share/openvswitch/vswitch.ovsschema';
      await runCommand('ovsdb-tool', ['create', join(folder, 'conf.db'), schema]);
      const start = async (args: string[], ready: RegExp) => {
        const common = { namespace, command: 'taskset', ready, env };
        ovs.programs.push(await startProgram({ ...common, args: ['-c', '0', ...args, '-vconsole:info'] }));
      };
      const database = `${folder}/db.sock`;
      await start(
        ['ovsdb-server', join(folder, 'conf.db'), `--remote=punix:${database}`, '--unixctl=db.ctl'],
        /ovsdb-server/,
      );
      await ovs.vsctl('--no-wait', 'init');
      const configuration = {
        'dpdk-init': 'true',
        'dpdk-lcore-mask': '0x1',
        'dpdk-socket-mem': '512',
        'dpdk-extra': `"--no-pci --huge-dir=${folder}/huge --file-prefix=nemo-${process.pid}"`,
        'pmd-cpu-mask': `0x${(1 << cpu).toString(16)}`,
      };
      const settings = Object.entries(configuration).map(([key, value]) => `other_config:${key}=${value}`);
      await ovs.vsctl('--no-wait', 'set', 'Open_vSwitch', '.', ...settings);
      await start([VSWITCHD, `unix:${database}`, '--unixctl=vswitchd.ctl'], /DPDK Enabled - initialized/);
      await ovs.vsctl(
        'add-br',
        'br0',
        '--',
        'set',
        'bridge',
        'br0',
        'datapath_type=netdev',
        'fail-mode=secure',
      );
      for (const [i, name] of ['n0', 'n1'].entries()) {
        const device = `options:dpdk-devargs=net_af_packet${i},iface=${name}`;
        const add = ['add-port', 'br0', `p${i}`, '--', 'set', 'Interface', `p${i}`, 'type=dpdk'];
        await ovs.vsctl(...add, device, `ofport_request=${i + 1}`);
      }
      const flow = (from: number, to: number) =>
        runCommand('ovs-ofctl', [
          'add-flow',
          `unix:${folder}/br0.mgmt`,
          `in_port=${from},actions=output:${to}`,
        ]);
      await flow(1, 2);
      await flow(2, 1);
      return ovs;
    } catch (thrown) {
      const log = await runCommand('sh', ['-c', `tail -n 20 ${folder}/*.log`]).catch(() => '');
      await ovs.close();
      throw new Error(`${String(thrown)}\n${log}`);
    }
  }

  async close(): Promise<void> {
    for (const program of this.programs.toReversed()) await program.close();
    await runCommand('umount', [join(this.folder, 'huge')]).catch(() => undefined);
    writeFileSync(HUGE_PAGES, this.pagesBefore);
    rmSync(this.folder, { recursive: true, force: true });
  }
}
