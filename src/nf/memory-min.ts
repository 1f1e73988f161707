/**
 * While an NF is guarded, what its cgroup uses is not taken back when memory runs short: `memory.min` of cgroup v2. A
 * child's counts only as far as its parents' goes, so they are raised with it; nothing is ever lowered below what it was.
 * What it was is on disk before it is changed. Only a group that holds nothing but the NF gets it: what stood beside the NF
 * would be kept in memory as well.
 */

import { rmSync } from 'node:fs';
import { childGroups, errnoOf, membersOf, readControl, writeControl } from '../linux/cgroup/files.js';
import { memoryMount } from '../linux/cgroup/open.js';
import { processStat } from '../linux/process.js';
import { type ProcessId, startedThen } from '../linux/process-directory.js';
import { NF } from '../tunables/index.js';
import { groupOf, insideGroup, ownGroup } from './memory-group.js';
import { type MemoryEntry, readMemoryEntries, writeMemoryEntries } from './memory-journal.js';
import { ifItCan } from './protection-journal.js';

/** All of a group's are multiples of it: the kernel counts in pages, of up to so many bytes. */
const PAGE_MAX_BYTES = 64 * 1024;

interface Held {
  bytes: number;
  /** The NF's group and those above it. */
  groups: string[];
}

export class MemoryMin {
  private readonly held = new Map<string, Held>();
  private readonly changed = new Map<string, MemoryEntry>();
  private readonly told = new Set<string>();

  /** Puts back what a dead agent and its guardian left. `limitBytes`: most for all NFs together. */
  constructor(
    private readonly journal: string,
    private readonly limitBytes: number,
    private readonly mount: string | undefined = memoryMount(),
  ) {
    for (const entry of readMemoryEntries(journal)) restore(entry);
    rmSync(journal, { force: true });
  }

  /** Call it again when the NF may use more. Returns once why it is not protected; undefined: it is, or never can be. */
  protect(nfId: string, nf: ProcessId): string | undefined {
    if (this.mount === undefined) return undefined;
    let why: string | undefined;
    try {
      why = this.raise(nfId, nf, this.mount);
    } catch (thrown) {
      // Its group may have gone with it.
      why = startedThen(nf) ? (thrown as Error).message : '';
    }
    if (why === undefined) return undefined;
    this.putBack(nfId);
    if (why === '' || this.told.has(nfId)) return undefined;
    this.told.add(nfId);
    return `memory of ${nfId} is not protected from reclaim: ${why}`;
  }

  release(nfId: string): void {
    this.told.delete(nfId);
    this.putBack(nfId);
  }

  private putBack(nfId: string): void {
    if (!this.held.delete(nfId)) return;
    const used = new Set([...this.held.values()].flatMap(({ groups }) => groups));
    for (const entry of this.changed.values()) {
      if (used.has(entry.group)) continue;
      restore(entry);
      this.changed.delete(entry.group);
    }
    ifItCan(() => writeMemoryEntries(this.journal, [...this.changed.values()]));
  }

  releaseAll(): void {
    for (const nfId of [...this.held.keys()]) this.release(nfId);
  }

  /** Whether what an NF uses has grown well beyond what is protected. */
  hasGrown(nfId: string): boolean {
    const held = this.held.get(nfId);
    if (held === undefined) return false;
    try {
      return insideGroup(held.groups[0]!, currentOf) > held.bytes * NF.memoryMinGrowth;
    } catch {
      return false;
    }
  }

  private raise(nfId: string, nf: ProcessId, mount: string): string | undefined {
    const found = groupOf(nf, mount);
    if (typeof found === 'string') return found;
    const [group = '', ...above] = found.groups;
    const stranger = insideGroup(group, (path) => strangerIn(path, nf.pid));
    if (stranger !== undefined) return `${stranger} runs in its cgroup too: give the NF one of its own`;
    if (isWithin(ownGroup(mount), group)) return 'NEMO runs in its cgroup too: give the NF one of its own';
    const others = [...this.held].reduce((sum, [id, { bytes }]) => sum + (id === nfId ? 0 : bytes), 0);
    const uses = roundUp(insideGroup(group, currentOf));
    const bytes = Math.min(uses, roundDown(this.limitBytes - others));
    if (bytes <= 0) return 'other NFs have all that may be protected';
    const plan = new Map<string, MemoryEntry>();
    let below: { group: string; min: number } | undefined;
    for (const one of [group, ...above]) {
      const now = insideGroup(one, minOf);
      const wanted = below === undefined ? bytes : Math.min(claimedIn(one, below), this.limitBytes);
      const min = Math.max(now, roundUp(wanted));
      if (min > now) {
        // A value that somebody else wrote since is the one to put back.
        const ours = this.changed.get(one);
        plan.set(one, { group: one, before: ours?.now === now ? ours.before : now, now: min });
      }
      // Protecting more than it uses needs nothing more from the groups above.
      below = {
        group: one,
        min: Math.min(min, one === group ? bytes : roundUp(insideGroup(one, currentOf))),
      };
    }
    this.held.set(nfId, { bytes, groups: found.groups });
    this.apply(plan, nf);
    return undefined;
  }

  private apply(plan: Map<string, MemoryEntry>, nf: ProcessId): void {
    if (plan.size === 0) return;
    const earlier = new Map(this.changed);
    for (const [group, entry] of plan) this.changed.set(group, entry);
    writeMemoryEntries(this.journal, [...earlier.values(), ...plan.values()]);
    // The group of that name may be a new one by now.
    if (startedThen(nf)) {
      for (const { group, now } of plan.values()) {
        insideGroup(group, (path) => write(path, group, now));
      }
    }
    writeMemoryEntries(this.journal, [...this.changed.values()]);
  }
}

/** A process in a group that is neither in the NF's process group nor a descendant of it. */
function strangerIn(path: string, nfPid: number): string | undefined {
  const nfGroup = processStat(nfPid)?.processGroup;
  const members = membersOf(path);
  if (nfGroup === undefined || !members.has(nfPid)) throw new Error('its cgroup cannot be seen from here');
  for (const pid of members) {
    const stat = processStat(pid);
    if (stat === undefined || stat.processGroup === nfGroup || isBornOf(nfPid, stat.parentPid)) continue;
    return `process ${pid}`;
  }
  return undefined;
}

function isBornOf(ancestor: number, parent: number): boolean {
  for (let pid = parent; pid > 1; pid = processStat(pid)?.parentPid ?? 0) if (pid === ancestor) return true;
  return false;
}

/** What the kernel would have to give all the children of a group: of each, no more than it uses (cgroup-v2.rst, memory.min). */
function claimedIn(group: string, raised: { group: string; min: number }): number {
  return insideGroup(group, (path) =>
    childGroups(path).reduce((sum, name) => {
      if (`${group}/${name}` === raised.group) return sum + raised.min;
      try {
        return sum + Math.min(minOf(`${path}/${name}`), currentOf(`${path}/${name}`));
      } catch {
        // It has just gone.
        return sum;
      }
    }, 0),
  );
}

function minOf(path: string): number {
  const text = readControl(`${path}/memory.min`);
  return text === 'max' ? Number.POSITIVE_INFINITY : Number(text);
}

function write(path: string, group: string, bytes: number): void {
  try {
    writeControl(`${path}/memory.min`, bytes);
  } catch (cause) {
    throw new Error(`the kernel refuses memory.min of ${group}: ${errnoOf(cause)}`, { cause });
  }
}

function currentOf(path: string): number {
  return Number(readControl(`${path}/memory.current`));
}

/** Only where it is still what NEMO wrote. */
function restore({ group, before, now }: MemoryEntry): void {
  try {
    insideGroup(group, (path) => {
      if (minOf(path) === now) writeControl(`${path}/memory.min`, before);
    });
  } catch {
    // The group has gone, and its value with it.
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / PAGE_MAX_BYTES) * PAGE_MAX_BYTES;
}

function roundDown(bytes: number): number {
  return Math.floor(bytes / PAGE_MAX_BYTES) * PAGE_MAX_BYTES;
}

function isWithin(group: string | undefined, of: string): boolean {
  return group === of || group?.startsWith(`${of}/`) === true;
}
