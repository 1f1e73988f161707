/**
 * Proposes profiles for processes that look like NFs but that no profile knows. A proposal is a guess for a person to
 * read: what was seen stands in its comments, and the SLO is only a number to begin with.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { stringify } from 'yaml';
import { textIfThere } from '../linux/if-there.js';
import { socketInodes } from '../linux/listening.js';
import { onlineCores } from '../linux/online-cores.js';
import { exeBaseName, listPids, listThreads, processName, startTicks } from '../linux/process.js';
import { readProcessFacts } from '../linux/process-facts.js';
import { ThreadStat } from '../linux/procfs.js';
import { NF } from '../tunables/index.js';
import { distrust } from './identity.js';

export interface Proposal {
  pid: number;
  name: string;
  /** What made it look like an NF, as a message. */
  signs: string[];
  /** A profile, ready to save. */
  yaml: string;
}

/**
 * Takes `NF.scanMs`. Processes in `known` are left out: a profile has them already; so are those that would not be believed
 * if a profile found them. `agents`: names of the agents of this box.
 */
export async function scanForNfs(
  known: ReadonlySet<number>,
  agents: ReadonlySet<string> = new Set(),
): Promise<Proposal[]> {
  const watched = listPids()
    .filter((pid) => !known.has(pid) && pid !== process.pid && isBelieved(pid, agents))
    .map((pid) => ({ pid, threads: listThreads(pid).map((thread) => new Watched(pid, thread)) }));
  const from = performance.now();
  await delay(NF.scanMs);
  const wallNs = (performance.now() - from) * 1e6;
  const cores = onlineCores().length;
  const proposals: Proposal[] = [];
  for (const { pid, threads } of watched) {
    const busy = threads.filter((thread) => thread.busyRatio(wallNs) > 0.95);
    const pinned = threads.filter((thread) => thread.cpus.length < cores);
    for (const thread of threads) thread.close();
    const devices = deviceSigns(pid);
    const polling = busy.filter((thread) => pinned.includes(thread));
    // A busy pinned thread alone may be any computation, a pinned one any service: packets have to be its business.
    if (devices.length === 0 || (pinned.length === 0 && polling.length === 0)) continue;
    const packet = polling.length > 0 ? polling : pinned;
    const pinnedTo = [...new Set(packet.flatMap((thread) => thread.cpus))].join(', ');
    const signs = [...devices, `${packet.length} of ${threads.length} threads bound to core ${pinnedTo}`];
    if (polling.length > 0) signs.push(`${polling.length} of them polling (100 % busy)`);
    const all = packet.length === threads.length;
    proposals.push(propose(pid, signs, polling.length > 0, all ? undefined : packet));
  }
  return proposals;
}

function isBelieved(pid: number, agents: ReadonlySet<string>): boolean {
  const ticks = startTicks(pid);
  const facts = ticks === undefined ? undefined : readProcessFacts(pid, ticks, agents);
  return facts !== undefined && distrust(facts, new Set()) === undefined;
}

function propose(
  pid: number,
  signs: string[],
  polls: boolean,
  packet: readonly Watched[] | undefined,
): Proposal {
  const exe = exeBaseName(pid) ?? processName(pid) ?? `process-${pid}`;
  const name =
    exe
      .toLowerCase()
      .replace(/[^a-z0-9-]+/g, '-')
      .replace(/^-+/, '') || `process-${pid}`;
  const mainAlone = packet?.length === 1 && packet[0]!.tid === pid;
  const names = [...new Set(packet?.map((thread) => withoutNumber(thread.name)))];
  const profile = {
    name,
    match: { process: `^${literally(exe)}$` },
    mode: polls ? 'poll' : 'sleep',
    ...(packet && { packetThreads: mainAlone ? 'main' : `^(${names.map(literally).join('|')})` }),
    sloP99Us: polls ? 500 : 1000,
    latency: { source: 'runqueue' },
  };
  const comments = [`Proposed by nemo nf scan for process ${pid}:`, ...signs.map((sign) => `- ${sign}`)];
  comments.push('sloP99Us is only a beginning: put there what you promise.');
  return { pid, name, signs, yaml: `${comments.map((line) => `# ${line}\n`).join('')}${stringify(profile)}` };
}

/** "worker-3" and "worker-4" are one kind of thread. */
function withoutNumber(name: string): string {
  return name.replace(/\d+$/, '') || name;
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}

/** Packet sockets, devices taken from the kernel, huge pages. */
function deviceSigns(pid: number): string[] {
  const signs: string[] = [];
  const inodes = socketInodes(pid);
  const packetSockets = textIfThere(`/proc/${pid}/net/packet`)
    .split('\n')
    .slice(1)
    .filter((line) => inodes.has(line.trim().split(/\s+/).at(-1) ?? '')).length;
  if (packetSockets > 0) signs.push(`${packetSockets} packet sockets (AF_PACKET)`);
  const maps = textIfThere(`/proc/${pid}/maps`);
  if (/\/dev\/(vfio|uio)/.test(maps)) signs.push('a network device of its own (vfio or uio)');
  if (/\/(hugepages|huge)\b|\/anon_hugepage|rtemap_/.test(maps)) signs.push('packet memory in huge pages');
  return signs;
}

class Watched {
  readonly tid: number;
  readonly name: string;
  readonly cpus: number[];
  private readonly stat: ThreadStat;
  private readonly runNs: number;

  constructor(pid: number, thread: { tid: number; name: string; cpus: number[] }) {
    this.tid = thread.tid;
    this.name = thread.name;
    this.cpus = thread.cpus;
    this.stat = new ThreadStat(pid, thread.tid);
    this.stat.read();
    this.runNs = this.stat.runNs;
  }

  busyRatio(wallNs: number): number {
    return this.stat.read() ? (this.stat.runNs - this.runNs) / wallNs : 0;
  }

  close(): void {
    this.stat.close();
  }
}
