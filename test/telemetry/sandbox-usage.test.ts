/** Usage of sandboxes is read from real processes; a sandbox is what its group lists. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import type { Instance } from '../../src/pool/instance.js';
import { SandboxUsage } from '../../src/telemetry/sandbox-usage.js';
import { until } from '../support/waiting.js';

/** Files of `/proc/PID/stat` that this process has open. */
function openFor(pids: readonly number[]): string[] {
  const paths = readdirSync('/proc/self/fd').map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return '';
    }
  });
  return paths.filter((path) => pids.some((pid) => path.startsWith(`/proc/${pid}/`)));
}

describe('usage of sandboxes', function () {
  this.timeout(30_000);
  let folder: string;
  const children: ChildProcess[] = [];
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'nemo-usage-'));
  });
  after(() => {
    for (const child of children) child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });

  it('is told for each, and keeps nothing open of those that ended', async () => {
    const usage = new SandboxUsage();
    while (children.length < 3) children.push(spawn('sleep', ['60']));
    await Promise.all(children.map((child) => once(child, 'spawn')));
    const pids = children.map((child) => child.pid!);
    const list = join(folder, 'cgroup.procs');
    writeFileSync(list, pids.join('\n'));
    const worker = { id: 'sb-1', sandbox: { cgroup: { joinPaths: [list] } } } as unknown as Instance;
    await until(() => {
      usage.sample([worker]);
      return usage.of('sb-1').memoryBytes > 0;
    });
    expect(openFor(pids)).to.have.length(3);
    const ended = Promise.all(children.map((child) => once(child, 'exit')));
    for (const child of children) child.kill('SIGKILL');
    await ended;
    await until(() => {
      usage.sample([]);
      return openFor(pids).length === 0 && usage.of('sb-1').memoryBytes === 0;
    });
    usage.close();
  });

  it('is measured by the collector that fits: of a thread, by its own word and the time of its group', async () => {
    const usage = new SandboxUsage();
    let cpuNs = 0;
    const thread = {
      id: 'sb-2',
      sandbox: { heldBytes: 1234 },
      cgroup: { usage: () => ({ cpuNs }) },
    } as unknown as Instance;
    const ended = {
      ...{ id: 'sb-3', sandbox: { heldBytes: 1 } },
      cgroup: {
        usage: () => {
          throw new Error('ENOENT');
        },
      },
    } as unknown as Instance;
    await until(() => {
      usage.sample([thread, ended]);
      return usage.of('sb-2').memoryBytes > 0;
    });
    expect(usage.of('sb-2')).to.deep.equal({ memoryBytes: 1234, cpuRatio: 0 });
    expect(usage.of('sb-3').memoryBytes).to.equal(0);
    cpuNs = 1e9;
    await until(() => {
      usage.sample([thread]);
      return usage.of('sb-2').cpuRatio > 0;
    });
    usage.close();
  });
});
