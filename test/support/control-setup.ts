/** The control loop for real, with a function's sandbox that burns its core: for tests that bring an NF of their own. */

import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Control, type LevelEvent } from '../../src/control/control.js';
import type { ControlNf, NfStats } from '../../src/control/messages.js';
import type { CgroupDriver } from '../../src/linux/cgroup/driver.js';
import { openCgroupDriver } from '../../src/linux/cgroup/open.js';
import { spawnTied } from '../../src/linux/tied-process.js';
import { Core, type CoreField } from '../../src/model/board.js';
import { until } from './waiting.js';

export const NF_CORE = 1;
/** A loop for one function core, with all that it does. */
export const CONTROL_OPTIONS = {
  coreCount: 2,
  controlCore: 0,
  functionCores: [NF_CORE],
  conflict: true,
  ladder: 'exponential-backoff' as const,
  predict: true,
  shareRatio: null,
  runningPerCore: 1,
};
/** Joins the groups that it is told, and burns their core. */
export const BURN = 'for path; do echo 0 > "$path"; done; exec chrt -i 0 sh -c "while :; do :; done"';
let beds = 0;

export class ControlSetup {
  readonly levels: LevelEvent[] = [];
  readonly warnings: string[] = [];
  stats: NfStats[] = [];

  private constructor(
    private readonly driver: CgroupDriver,
    readonly burner: ChildProcess,
    readonly control: Control,
    readonly slot: number,
  ) {
    control.on('level', (event) => this.levels.push(event));
    control.on('warning', (message) => this.warnings.push(message));
    control.on('nf-stats', (stats) => {
      this.stats = stats;
    });
  }

  static async start(): Promise<ControlSetup> {
    const driver = openCgroupDriver({ rootName: `nemo-test-reports-${process.pid}-${beds++}`, idle: true });
    const group = driver.create('sb-1', { cpus: [NF_CORE] });
    const burner = spawnTied('/bin/sh', ['-c', BURN, 'burner', ...group.joinPaths], { stdio: 'ignore' });
    await until(() => group.usage().cpuNs > 20e6);
    const control = await Control.start(CONTROL_OPTIONS);
    return new ControlSetup(driver, burner, control, control.addSandbox(NF_CORE, group.handle));
  }

  /** An NF of this bed's core. */
  nf(over: Partial<ControlNf> & Pick<ControlNf, 'id' | 'pid' | 'sloUs' | 'source'>): ControlNf {
    return {
      cores: [NF_CORE],
      tids: [over.pid],
      packetTids: [over.pid],
      harvest: true,
      softirq: false,
      ...over,
    };
  }

  get(field: CoreField): number {
    return this.control.board.get(NF_CORE, field);
  }

  get level(): number {
    return this.get(Core.throttleLevel);
  }

  async close(): Promise<void> {
    await this.control.stop();
    const ended = once(this.burner, 'exit');
    await this.driver.removeAll();
    await ended;
  }
}

/** A server on loopback, in a process of its own bound to the NF core; `answer`: the body of its request handler. */
export async function startServer(answer: string, join: readonly string[] = []): Promise<ChildProcess> {
  const code = `for (const path of ${JSON.stringify(join)}) require('fs').writeFileSync(path, '0');
    require('http').createServer((request, response) => { ${answer} })
      .listen(0, '127.0.0.1', function () { console.log(this.address().port); });`;
  const child = spawnTied('/usr/bin/taskset', ['-c', `${NF_CORE}`, process.execPath, '-e', code], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout!, 'data');
  return child;
}

/** A process on the NF core that computes without end, before all others there: whatever else the machine does. */
export async function startSpinner(): Promise<ChildProcess> {
  const loop = 'echo up; while :; do :; done';
  const child = spawnTied('/usr/bin/taskset', ['-c', `${NF_CORE}`, 'nice', '-n', '-20', 'sh', '-c', loop], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  await once(child.stdout!, 'data');
  return child;
}
