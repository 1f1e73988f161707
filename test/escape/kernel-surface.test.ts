/**
 * What the kernel does for a program under each of the filters, tried by a program that calls it directly. Functions of
 * engines that run JavaScript cannot make such calls themselves: this is what code that broke out of V8, or of QEMU, meets.
 */

import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { launchCommand } from '../../src/confinement/launch.js';
import { makeOpenDirectory, prepareRuntime } from '../../src/confinement/runtime.js';
import type { Confinement } from '../../src/confinement/seccomp/rules.js';
import { execFile } from '../../src/linux/spawn.js';
import { SANDBOX } from '../../src/tunables/index.js';
import {
  buildNativeAttempts,
  CONTAINER_ANSWERS,
  expectRefused,
  MACHINE_ANSWERS,
  NATIVE_ANSWERS,
  outcomesOf,
  THREAD_ANSWERS,
} from '../support/native-attempts.js';

const INSIDE = '/try';
const WITH_SHARED_MEMORY = { sharedMemoryBytes: 2 ** 20 };
const SHARED_MEMORY = {
  ...{ processes: WITH_SHARED_MEMORY, containers: WITH_SHARED_MEMORY },
  ...{ threads: {}, files: {}, machine: {} },
};
/** Of processes: the program forks until it is refused. */
const PROCESSES_MAX = 40;

describe('a program that tries every system call that it should not have', () => {
  const folder = mkdtempSync('/var/tmp/nemo-test-surface-');
  let program: string | undefined;
  before(() => {
    makeOpenDirectory(folder);
    program = buildNativeAttempts(folder);
  });
  after(() => rmSync(folder, { recursive: true }));

  const run = async (confinement: Confinement): Promise<Map<string, string>> => {
    const directory = join(folder, 'function');
    makeOpenDirectory(directory);
    const shared = prepareRuntime(join(folder, confinement), undefined, confinement);
    const runtime = { ...shared, binds: [[program!, INSIDE] as const] };
    const launch = {
      uid: SANDBOX.firstUid,
      joinPaths: [],
      scheduling: 'default',
      directory,
      runtime,
    } as const;
    const [shell, ...args] = launchCommand({ ...launch, ...SHARED_MEMORY[confinement] }, [INSIDE]);
    const { stdout } = await execFile('prlimit', [`--nproc=${PROCESSES_MAX}`, shell!, ...args]);
    return outcomesOf(String(stdout));
  };

  for (const [confinement, answers] of [
    ['processes', NATIVE_ANSWERS],
    ['containers', CONTAINER_ANSWERS],
    ['machine', MACHINE_ANSWERS],
    ['threads', THREAD_ANSWERS],
  ] as const) {
    it(`is refused them by the filter of ${confinement}`, async function () {
      if (program === undefined) return this.skip();
      const outcomes = await run(confinement);
      expectRefused(outcomes, answers);
      expect(Number(outcomes.get('forks')) > 0).to.equal(confinement !== 'threads');
    });
  }
});
