/**
 * The moment between an agent's death and the kernel's knowing that a sandbox is tied to it: a launch chain whose parent
 * is not the agent that wrote it must end before anything of the sandbox runs.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { launchCommand } from '../../src/confinement/launch.js';
import { makeOpenDirectory, prepareRuntime } from '../../src/confinement/runtime.js';
import { launchCommand as containerCommand } from '../../src/engine/oci/launch.js';
import { execFile } from '../../src/linux/spawn.js';
import { SANDBOX } from '../../src/tunables/index.js';

/** What the command prints on both outputs, whatever its exit code. */
async function outputOf([program, ...args]: string[]): Promise<string> {
  try {
    const { stdout, stderr } = await execFile(program!, args);
    return `${stdout}${stderr}`;
  } catch (thrown) {
    const { stdout, stderr } = thrown as { stdout: string; stderr: string };
    return stdout + stderr;
  }
}

/** The chain of an agent that is gone: another process has become its parent. */
const orphaned = (command: string[]): string[] => ['/bin/sh', '-c', '"$@"; exit $?', 'sh', ...command];

describe('a launch chain whose agent is gone', () => {
  const folder = mkdtempSync('/var/tmp/nemo-test-parent-');
  after(() => rmSync(folder, { recursive: true }));

  it('starts no process sandbox', async () => {
    makeOpenDirectory(folder);
    const directory = join(folder, 'function');
    makeOpenDirectory(directory);
    const runtime = prepareRuntime(join(folder, 'runtime'));
    const launch = {
      uid: SANDBOX.firstUid,
      joinPaths: [],
      scheduling: 'default',
      directory,
      runtime,
    } as const;
    const command = launchCommand(launch, [runtime.nodeInside, '-e', 'console.log("it runs")']);
    expect(await outputOf(command)).to.equal('it runs\n');
    expect(await outputOf(orphaned(command))).to.equal('');
  });

  it('starts no container', async () => {
    const command = containerCommand({
      ...{
        id: 'none',
        layers: [],
        image: '/image',
        stateDirectory: '/state',
        bundle: '/bundle',
        joinPaths: [],
      },
      store: '/no-such-store',
      scheduling: 'default',
    });
    // Which is the first thing that would be done for it, in its own namespaces.
    expect(await outputOf(command)).to.match(/no-such-store/);
    expect(await outputOf(orphaned(command))).to.equal('');
  });
});
