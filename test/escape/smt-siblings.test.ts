/**
 * Whatever the engine, a sandbox's first process has its core-scheduling cookie before it is anything but a shell that
 * waits: the kernel hands the cookie down, so nothing of a function or of an image runs without. Whether this machine has SMT
 * siblings does not matter to the order.
 */

import { mkdtempSync, openSync, readFileSync, rmSync } from 'node:fs';
import { expect } from 'chai';
import { launchMachine } from '../../src/engine/microvm/machine.js';
import { launchContainer } from '../../src/engine/oci/launch.js';
import { membersOf } from '../../src/linux/cgroup/files.js';
import type { ChildProcess } from '../../src/linux/spawn.js';
import { errorOf, SandboxBench } from '../support/sandboxes.js';
import { isGone, until } from '../support/waiting.js';

/** Stands for the kernel, which has no cookies without siblings: what each process was when it was to get one. */
class Kernel {
  readonly given: Array<{ pid: number; was: string }> = [];
  refuses = false;
  readonly setApart = (pids: Iterable<number>): boolean => {
    for (const pid of pids) {
      const [program, , script] = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
      this.given.push({ pid, was: `${program} ${script?.split(' ')[0]}` });
    }
    return !this.refuses;
  };
}

const WAITING_SHELL = '/bin/sh read';

/** The processes from one up to the first of the system. */
function ancestry(pid: number): number[] {
  const parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]);
  return parent === 0 ? [pid] : [pid, ...ancestry(parent)];
}

describe('escape by an SMT sibling', () => {
  for (const engine of ['process', 'isolate', 'wasm']) {
    it(`${engine}: all of a sandbox is started by a shell that had its cookie first`, async () => {
      const kernel = new Kernel();
      const bench = new SandboxBench(engine, { setApart: kernel.setApart });
      try {
        const sandbox = await bench.start();
        expect(kernel.given.map(({ was }) => was)).to.deep.equal([WAITING_SHELL]);
        const { pid } = kernel.given[0]!;
        const members = membersOf(bench.driver.rootPaths[0]!);
        expect(members.size).to.be.greaterThan(1);
        for (const member of members) expect(ancestry(member)).to.include(pid);
        await sandbox.kill();
        kernel.refuses = true;
        expect((await errorOf(bench.start())).code).to.equal('SANDBOX_START');
        await until(() => isGone(kernel.given[1]!.pid));
      } finally {
        await bench.close();
      }
    });
  }

  const launches: Record<string, (directory: string, kernel: Kernel) => ChildProcess> = {
    oci: (directory, { setApart }) =>
      launchContainer({
        ...{ id: 'none', layers: [], image: directory, store: directory, bundle: directory, joinPaths: [] },
        ...{ stateDirectory: directory, scheduling: 'default', setApart },
      }),
    microvm: (directory, { setApart }) => {
      const [root, kernel, initrd] = ['/dev/null', '/dev/null', '/dev/null'] as const;
      return launchMachine(
        { accelerator: 'tcg', memoryMb: 64, heapMb: 32, share: false, incoming: false },
        {
          ...{ uid: 64_000, joinPaths: [], scheduling: 'default', directory, setApart },
          runtime: { seccompPath: '/dev/null', libraryPath: '/dev/null' },
        },
        { root, kernel, initrd, memoryFd: openSync('/dev/null', 'r') },
      );
    },
  };
  for (const [engine, launch] of Object.entries(launches)) {
    it(`${engine}: nothing is started without a cookie`, async () => {
      const directory = mkdtempSync('/var/tmp/nemo-test-apart-');
      const kernel = new Kernel();
      kernel.refuses = true;
      try {
        expect(() => launch(directory, kernel)).to.throw('SMT siblings');
        expect(kernel.given.map(({ was }) => was)).to.deep.equal([WAITING_SHELL]);
        await until(() => isGone(kernel.given[0]!.pid));
      } finally {
        rmSync(directory, { recursive: true });
      }
    });
  }
});
