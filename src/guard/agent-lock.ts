/**
 * The agents of this box: one of a name. Each holds a lock while it runs; the names stay listed until everything of an
 * agent is gone, for what runs in a cgroup of that name is a function and never an NF.
 */

import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type FileLock, isLocked, oneAtATime, rootOnlyFolder, takeLock } from '../linux/file-lock.js';
import { NemoError } from '../model/errors.js';

export const AGENTS_FOLDER = '/run/nemo-agents';
const NAME = '.agent';
const GUARD = '.guard';
const CGROUPS = '/sys/fs/cgroup';

/** Throws AGENT_RUNNING if another process holds the name, UNSUPPORTED where locks are not safe. */
export function lockAgent(name: string, folder = AGENTS_FOLDER): FileLock {
  rootOnlyFolder(folder);
  return oneAtATime(folder, () => {
    sweep(folder);
    const lock = takeLock(join(folder, name + NAME));
    if (lock !== undefined) return lock;
    throw new NemoError('AGENT_RUNNING', `an agent called "${name}" already runs on this box`, {
      hint: 'stop it first, or give this one another name, cores and port in its configuration',
    });
  });
}

/** Held by an agent and its guardian: as long as one of them lives, the NFs of that agent are not anybody else's. */
export function lockGuard(name: string, folder = AGENTS_FOLDER): FileLock & { path: string } {
  const path = join(folder, `${name}-${process.pid}-${Date.now()}${GUARD}`);
  const lock = oneAtATime(folder, () => takeLock(path));
  if (lock === undefined) throw new NemoError('INTERNAL', `${path} is taken`);
  return { ...lock, path };
}

/** Names of agents whose cgroups may be there. Empty for those who may not know. */
export function agentNames(folder = AGENTS_FOLDER): Set<string> {
  return new Set(filesOf(folder, NAME).map((file) => file.slice(0, -NAME.length)));
}

/** Removes what killed agents left, once nothing else of them exists. */
function sweep(folder: string): void {
  for (const file of filesOf(folder, GUARD)) {
    if (!isLocked(join(folder, file))) rmSync(join(folder, file), { force: true });
  }
  for (const name of agentNames(folder)) {
    const path = join(folder, name + NAME);
    if (!isLocked(path) && !hasGroups(name)) rmSync(path, { force: true });
  }
}

function hasGroups(name: string): boolean {
  return ['', ...readdirSync(CGROUPS)].some((hierarchy) => existsSync(join(CGROUPS, hierarchy, name)));
}

function filesOf(folder: string, suffix: string): string[] {
  try {
    return readdirSync(folder).filter((name) => name.endsWith(suffix));
  } catch {
    return [];
  }
}
