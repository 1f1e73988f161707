/** `memory.min` of guarded NFs, tried on the kernel of the v2 guest: there is none on cgroup v1. No chai here. */

import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { removeTree } from '../../src/linux/cgroup/files.js';
import { startTicks } from '../../src/linux/process.js';
import type { NfInstance } from '../../src/model/nf-profile.js';
import { guardianDone } from '../../src/nf/guardian.js';
import { MEMORY_MIN } from '../../src/nf/memory-journal.js';
import { NfProtection } from '../../src/nf/protection.js';
import { MIB } from './cgroup-memory-checks.js';
import { until } from './waiting.js';

const PROTECTOR = fileURLToPath(new URL('./v2-protector.js', import.meta.url));
const ABOVE = '/sys/fs/cgroup/nfs';
const GROUP = `${ABOVE}/one`;
const BESIDE = `${ABOVE}/two`;
/** What the operator had set. */
const BEFORE = 4 * MIB;
const BESIDE_MIN = 2 * MIB;
/** Joins the group, then holds 20 MB. */
const NF = `[ -z "$0" ] || echo 0 > "$0/cgroup.procs"; a=$(head -c 20000000 /dev/zero | tr "\\0" x); echo ready; sleep 600`;

const min = (group: string) => Number(readFileSync(`${group}/memory.min`, 'utf8'));

interface Bed {
  nf: NfInstance;
  stateDir: string;
  /** Ended with the bed, each with its process group. */
  children: ChildProcess[];
  /** Starts something more in a group, in a process group of its own. */
  start(group: string): Promise<ChildProcess>;
}

async function withBed(action: (bed: Bed) => Promise<void>, nfGroup = GROUP): Promise<void> {
  const children: ChildProcess[] = [];
  const start = async (group: string) => {
    const child = spawn('/bin/sh', ['-c', NF, group], {
      detached: true,
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    children.push(child);
    await once(child.stdout!, 'data');
    return child;
  };
  writeFileSync('/sys/fs/cgroup/cgroup.subtree_control', '+memory');
  mkdirSync(ABOVE);
  writeFileSync(`${ABOVE}/cgroup.subtree_control`, '+memory');
  mkdirSync(GROUP);
  mkdirSync(BESIDE);
  writeFileSync(`${ABOVE}/memory.min`, String(BEFORE));
  writeFileSync(`${BESIDE}/memory.min`, String(BESIDE_MIN));
  const stateDir = mkdtempSync('/tmp/nemo-');
  try {
    await start(BESIDE);
    const pid = (await start(nfGroup)).pid!;
    const nf: NfInstance = {
      ...{ id: `nf-${pid}`, pid, startTicks: startTicks(pid)!, uid: 0, threads: [], cores: [0] },
      profile: {
        ...{ name: 'nf', title: 'nf', match: { process: 'sh' }, mode: 'sleep', sloP99Us: 100 },
        ...{ latency: { source: 'none' }, protection: { kind: 'nice', value: -5 }, harvest: true },
      },
    };
    await action({ nf, stateDir, children, start });
  } finally {
    for (const child of children) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      process.kill(-child.pid!, 'SIGKILL');
      await once(child, 'exit');
    }
    rmSync(stateDir, { recursive: true });
    await until(() => removeTree(ABOVE));
  }
}

/** What the NF keeps, and all that is kept in the group above. */
function assertKept(): void {
  assert.ok(min(GROUP) >= 20e6 && min(GROUP) < 200 * MIB, `the NF keeps ${min(GROUP)}`);
  assert.equal(min(ABOVE), min(GROUP) + BESIDE_MIN);
  assert.equal(min(BESIDE), BESIDE_MIN);
}

function assertAsBefore(stateDir: string): void {
  assert.deepEqual([min(GROUP), min(ABOVE), min(BESIDE)], [0, BEFORE, BESIDE_MIN]);
  assert.equal(existsSync(`${stateDir}/${MEMORY_MIN}`), false);
}

async function startProtector({
  nf,
  stateDir,
  children,
}: Bed): Promise<{ agent: ChildProcess; guardianPid: number }> {
  const agent = spawn(process.execPath, [PROTECTOR, JSON.stringify(nf), stateDir], {
    ...{ detached: true, stdio: ['pipe', 'pipe', 'inherit'] },
  });
  children.push(agent);
  const [line] = (await once(agent.stdout!, 'data')) as [Buffer];
  return { agent, guardianPid: Number(String(line)) };
}

export const MEMORY_MIN_CHECKS = {
  memoryKept: () =>
    withBed(async ({ nf, stateDir }) => {
      const protection = await NfProtection.start(stateDir);
      assert.deepEqual(protection.protect(nf).warnings, []);
      assertKept();
      protection.release(nf.id);
      assertAsBefore(stateDir);
      protection.protect(nf);
      // What somebody else wrote meanwhile is his.
      writeFileSync(`${GROUP}/memory.min`, String(MIB));
      await protection.close();
      assert.deepEqual([min(GROUP), min(ABOVE)], [MIB, BEFORE]);
    }),

  memoryAfterKill: async () => {
    await withBed(async (bed) => {
      const { agent } = await startProtector(bed);
      assertKept();
      agent.kill('SIGKILL');
      await once(agent, 'exit');
      assert.ok(await guardianDone(agent.pid!));
      assertAsBefore(bed.stateDir);
    });
    await withBed(async (bed) => {
      const { agent, guardianPid } = await startProtector(bed);
      process.kill(guardianPid, 'SIGSTOP');
      agent.kill('SIGKILL');
      process.kill(guardianPid, 'SIGKILL');
      await once(agent, 'exit');
      assert.ok(await guardianDone(agent.pid!));
      assertKept();
      const next = await NfProtection.start(bed.stateDir);
      assertAsBefore(bed.stateDir);
      await next.close();
    });
  },

  memoryShared: async () => {
    await withBed(async ({ nf, stateDir, start }) => {
      const { pid } = await start(GROUP);
      const protection = await NfProtection.start(stateDir);
      const [warning = ''] = protection.protect(nf).warnings;
      assert.ok(warning.includes(`process ${pid} runs in its cgroup too`), warning);
      // Once is enough.
      assert.deepEqual(protection.protect(nf).warnings, []);
      assertAsBefore(stateDir);
      await protection.close();
    });
    await withBed(async ({ nf, stateDir }) => {
      const protection = await NfProtection.start(stateDir);
      const [warning = ''] = protection.protect(nf).warnings;
      assert.ok(warning.includes('it runs in the root cgroup'), warning);
      assertAsBefore(stateDir);
      await protection.close();
    }, '');
  },
};
