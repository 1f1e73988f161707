/**
 * What the agent takes of its host before anything else: the name, its own cores, its cgroups, and a guardian that gives
 * all of it back, whatever happens to the agent.
 */

import { rmSync, writeFileSync } from 'node:fs';
import { totalmem } from 'node:os';
import { join } from 'node:path';
import type { AgentConfig } from '../config/config.js';
import { lockAgent, lockGuard } from '../guard/agent-lock.js';
import { Claims } from '../guard/claims.js';
import { isAutogrouping } from '../host/host.js';
import { openVulnerabilities, readVulnerabilities } from '../host/vulnerabilities.js';
import { CAP_SYS_RESOURCE, hasCapability } from '../linux/capabilities.js';
import type { CgroupDriver } from '../linux/cgroup/driver.js';
import { memoryMount, openCgroupDriver } from '../linux/cgroup/open.js';
import { type CoreScheduling, coreScheduling } from '../linux/core-scheduling.js';
import { takeDirectory } from '../linux/owned-directory.js';
import { ResctrlGroup } from '../linux/resctrl.js';
import { getAffinity, setProcessAffinity } from '../linux/sched.js';
import { readTopology } from '../linux/topology.js';
import { asNemoError, NemoError } from '../model/errors.js';
import { NfProtection } from '../nf/protection.js';
import { settingsPath } from '../nf/settings-journal.js';
import { type MemoryCapacity, memoryCapacity } from '../policy/admission/capacity.js';
import { POOL } from '../tunables/index.js';
import type { Closers } from './stopping.js';

export interface AgentHost {
  driver: CgroupDriver;
  memory: MemoryCapacity;
  /** Whether the kernel keeps sandboxes apart on SMT siblings, or has none to keep apart. */
  coreScheduling: CoreScheduling;
  protection: NfProtection;
  claims: Claims;
  /** What this host cannot do, in words. */
  warnings: string[];
}

/** NOT_ROOT, AGENT_RUNNING, BAD_CONFIG. */
export async function takeHost(config: AgentConfig, closers: Closers): Promise<AgentHost> {
  if (process.getuid?.() !== 0) {
    throw new NemoError(
      'NOT_ROOT',
      'the agent needs root: it makes cgroups and namespaces and schedules threads',
      { hint: 'run it with sudo, or as a system service' },
    );
  }
  const { policy } = config;
  const warnings: string[] = [];
  const lock = lockAgent(config.name);
  closers.push(() => lock.release());
  const guard = lockGuard(config.name);
  closers.push(() => guard.release());
  takeDirectories(config, closers);
  // The agent keeps off the cores that it lends; its threads made from now on inherit this.
  const before = getAffinity(process.pid);
  // Whoever runs an agent inside a program of his own gets his cores back.
  closers.push(() => setProcessAffinity(process.pid, before));
  setProcessAffinity(process.pid, config.housekeepingCores);

  const resctrl = openResctrl(config, warnings);
  if (resctrl !== undefined) closers.push(() => resctrl.remove());
  const driver = openCgroupDriver({
    ...(resctrl === undefined ? {} : { alsoJoin: [resctrl.tasksPath] }),
    rootName: config.name,
    idle: policy.scheduling === 'idle',
    capCores: policy.capRatio && policy.capRatio * config.functionCores.length,
  });
  closers.push(() => driver.removeAll());
  const claim = join(config.runDir, 'agent.pid');
  takeClaim(claim, closers);
  await driver.removeAll();
  const memory = limitMemory(config, driver, warnings);
  // From here on, whatever happens to this process, its groups go and NFs get their own scheduling back.
  const protection = await NfProtection.start(config.stateDir, {
    claim,
    groups: [...driver.rootPaths, ...driver.otherPaths, ...(resctrl === undefined ? [] : [resctrl.path])],
    settings: settingsPath(config.stateDir),
    lockFd: guard.fd,
  });
  closers.push(() => protection.close());
  if (!hasCapability(CAP_SYS_RESOURCE)) {
    warnings.push(
      'NFs are not protected from the out-of-memory killer, since the agent lacks the capability SYS_RESOURCE',
    );
  }
  if (memoryMount() === undefined) {
    warnings.push(
      'what NFs use is not protected from reclaim here: that takes cgroup v2 with the memory controller (memory.min)',
    );
  }
  if (driver.missing.length > 0) {
    warnings.push(
      `this host lacks the cgroup controllers ${driver.missing.join(', ')}: their limits are not held`,
    );
  }
  if (driver.missing.includes('cpu') && isAutogrouping()) {
    warnings.push(
      'the kernel groups threads by session here (autogroup), so a function may get as much of a core as an NF: ' +
        'sysctl -w kernel.sched_autogroup_enabled=0',
    );
  }
  if (policy.scheduling === 'idle' && !driver.idleGroup) {
    warnings.push('cpu.idle cannot be set on cgroups here: functions may be slower to yield to an NF');
  }
  const claims = new Claims({ agent: config.name, guard: guard.path });
  return { driver, memory, coreScheduling: keepApart(config, warnings), protection, claims, warnings };
}

/** The guardian is gone before the file is: nobody else asks whose the groups are. */
function takeClaim(claim: string, closers: Closers): void {
  try {
    writeFileSync(claim, String(process.pid), { mode: 0o640 });
  } catch (cause) {
    throw new NemoError('BAD_CONFIG', `runDir: ${claim} cannot be written: ${(cause as Error).message}`, {
      hint: 'runDir has to be on a file system that can be written, and for the agent alone',
      cause,
    });
  }
  closers.push(() => rmSync(claim, { force: true }));
}

/** No sandboxes are there yet: what is available now is what they may share. */
function limitMemory({ pool }: AgentConfig, driver: CgroupDriver, warnings: string[]): MemoryCapacity {
  const memory = memoryCapacity({
    totalBytes: totalmem(),
    availableBytes: process.availableMemory(),
    reserveBytes: POOL.reserveBytes,
    configuredBytes: pool.memoryMaxBytes,
    overcommit: pool.overcommit,
  });
  warnings.push(...memory.warnings);
  if (!driver.limitMemory(memory.useBytes, memory.useBytes * POOL.shareRatio))
    warnings.push('all functions together are not held to a limit of memory here: only each by itself is');
  return memory;
}

/** One function may read what another works on: by faults of the processor, and by sharing a physical core. */
function keepApart({ allowSmtSiblings }: AgentConfig, warnings: string[]): CoreScheduling {
  const smt = readTopology().some(({ siblings }) => siblings.length > 0);
  const vulnerable = openVulnerabilities(readVulnerabilities());
  const open = [...vulnerable.open, ...(smt && allowSmtSiblings ? vulnerable.smt : [])];
  if (open.length > 0) {
    warnings.push(
      `this processor is vulnerable (${open.join(', ')}): a function may read memory of others; nemo doctor says more`,
    );
  }
  return coreScheduling(smt);
}

/** Nobody but root reads the state. Sandboxes' users pass through `runDir` to what is theirs; they cannot list it. */
function takeDirectories({ stateDir, runDir }: AgentConfig, closers: Closers): void {
  // Whatever whoever started the agent had: what has no mode of its own is not for others to write.
  const before = process.umask(0o022);
  closers.push(() => void process.umask(before));
  const passable = `${runDir}/`.startsWith(`${stateDir}/`);
  closers.push(
    takeDirectory({
      what: 'stateDir',
      path: stateDir,
      mode: passable ? 0o751 : 0o750,
      within: ['store', 'bundles'],
    }),
  );
  closers.push(takeDirectory({ what: 'runDir', path: runDir, mode: 0o751, transient: true }));
}

/** A host without resctrl runs functions too: the NF's SLO is then kept by throttling alone, and that is said. */
function openResctrl({ name, resctrl }: AgentConfig, warnings: string[]): ResctrlGroup | undefined {
  if (resctrl === undefined) return undefined;
  try {
    return ResctrlGroup.open(name, resctrl);
  } catch (thrown) {
    const { message } = asNemoError(thrown);
    warnings.push(`functions share the NFs' caches and memory bandwidth without a limit: ${message}`);
    return undefined;
  }
}
