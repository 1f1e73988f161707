/**
 * In a container with a cgroup namespace, the top group that we see is not the real root: it holds the container's own
 * processes, and v2 lets no group both hold processes and pass controllers on. So they step aside, as in Docker's
 * and Kubernetes' own nested set-ups, into one leaf without limits, and are put back at the end.
 */

import { existsSync, readFileSync } from 'node:fs';
import { errnoOf, makeGroup, removeTree, tryWrite, writeControl } from './files.js';

const ROUNDS_MAX = 100;

/** Moves the processes of `base` into the leaf `peers`; the real root may keep its own. */
export function stepAside(base: string, peers: string): void {
  const isRealRoot = !existsSync(`${base}/cgroup.type`);
  if (isRealRoot || ownMembers(base).length === 0) return;
  if (!existsSync(peers)) makeGroup(peers);
  moveAll(base, peers);
}

/** Undoes `stepAside`, after the groups that used the controllers are gone. Idempotent. */
export function stepBack(base: string, peers: string, controllers: readonly string[]): void {
  if (!existsSync(peers)) return;
  for (const controller of controllers) tryWrite(`${base}/cgroup.subtree_control`, `-${controller}`);
  if (moveAll(peers, base)) removeTree(peers);
}

/** Again until none is left, for processes fork meanwhile. */
function moveAll(from: string, to: string): boolean {
  for (let round = 0; round < ROUNDS_MAX; round++) {
    const pids = ownMembers(from);
    if (pids.length === 0) return true;
    for (const pid of pids) {
      try {
        writeControl(`${to}/cgroup.procs`, pid);
      } catch (thrown) {
        if (errnoOf(thrown) === 'EBUSY' || errnoOf(thrown) === 'EINVAL') return false;
        if (errnoOf(thrown) !== 'ESRCH') throw thrown;
      }
    }
  }
  return false;
}

function ownMembers(directory: string): string[] {
  return readFileSync(`${directory}/cgroup.procs`, 'utf8').split('\n').filter(Boolean);
}
